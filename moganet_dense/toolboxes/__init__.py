"""What the toolboxes get from us: names in their model lists (index), a classifier for
mmpretrain (mmpretrain, the only module that imports a toolbox), COCO evaluation in C++
(coco_eval)."""
