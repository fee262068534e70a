"""Names of the tasks that can be trained on a data set."""

TASKS = {
    'boxes': 'detection',
    'masks': 'instance segmentation',
    'keypoints': 'pose estimation',
    'labels': 'semantic segmentation',
}
"""By the value of ``--task``."""
