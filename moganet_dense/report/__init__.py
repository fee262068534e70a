"""What a run did, for people: recorded while it runs, told as one page.

``hook`` notes facts and evaluations beside mmengine's logs, ``runs`` reads a work dir back, and
``page`` writes it as html. Only ``hook`` and what it calls see models and metrics.
"""
