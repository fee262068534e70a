"""What mmpose imports of xtcocotools, on pycocotools."""

__version__ = '1.14.3+pycocotools'
