"""Names of the tasks that can be trained on a data set, and of the formats that are read."""

TASKS = {
    'boxes': 'detection',
    'masks': 'instance segmentation',
    'keypoints': 'pose estimation',
    'labels': 'semantic segmentation',
}
"""By the value of ``--task``."""

FORMATS = (
    'coco',
    'panoptic',
    'label-studio',
    'labelme',
    'cvat',
    'voc',
    'dota',
    'yolo',
    'label-maps',
)
"""Values of ``--format``."""
