"""3D poses: SimCC with depth, data sets and metrics. Importing it registers them in mmpose."""

from .figures_dataset import Figures3D as Figures3D
from .h3wb_dataset import H3WBDataset as H3WBDataset
from .metrics_3d import FlatInterHandMetric as FlatInterHandMetric
from .metrics_3d import Pose3DMetric as Pose3DMetric
from .simcc3d_codec import SimCC3DLabel as SimCC3DLabel
from .simcc3d_head import SimCC3DHead as SimCC3DHead
