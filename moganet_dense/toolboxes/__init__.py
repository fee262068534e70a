"""Whole models of the toolboxes: built and loaded, in the form that is evaluated, counted; and what
the toolboxes get from us: names in their model lists (registration), a classifier for mmpretrain
(mmpretrain), a data set for mmseg (mmseg); these two import a toolbox."""
