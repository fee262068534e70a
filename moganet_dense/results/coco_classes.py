"""COCO's classes and their numbers (https://cocodataset.org)."""

# the 80 classes, in their order
CLASSES = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat',
    'traffic light', 'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat',
    'dog', 'horse', 'sheep', 'cow', 'elephant', 'bear', 'zebra', 'giraffe', 'backpack',
    'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard', 'sports ball',
    'kite', 'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket',
    'bottle', 'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple',
    'sandwich', 'orange', 'broccoli', 'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair',
    'couch', 'potted plant', 'bed', 'dining table', 'toilet', 'tv', 'laptop', 'mouse', 'remote',
    'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink', 'refrigerator', 'book',
    'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush',
)  # fmt: skip

_GAPS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


def category_ids(names: tuple[str, ...]) -> list[int]:
    """Numbers of classes in files of COCO's format: COCO's own for its 80 classes, which leave
    gaps between 1 and 90; for others 1, 2, 3, ..."""
    if tuple(names) == CLASSES:
        return [i for i in range(1, 91) if i not in _GAPS]
    return list(range(1, len(names) + 1))
