"""What libraries show and no command should."""

import re

NOISE = re.compile(
    r'mmengine - |loading annotations|Done \(t=|creating index|index created|'
    r'\w*Warning\b|warnings\.warn|deprecated|[ \t]+$|(\S+), not \1\b|site-packages',
    re.MULTILINE,
)
