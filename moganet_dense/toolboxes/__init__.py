"""What the toolboxes get from us: names in their model lists (index), a classifier for
mmpretrain (mmpretrain), a data set for mmseg (mmseg; these two import a toolbox), COCO evaluation in C++
(coco_eval)."""
