"""Complete models of the toolboxes: building, loading, fused form, FLOPs; and additions to the
toolboxes: model names (registration), a classifier for mmpretrain (mmpretrain) and a data set for
mmseg (mmseg). The last two import a toolbox."""
