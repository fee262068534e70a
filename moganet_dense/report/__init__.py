"""The report of a run as one page: ``runs`` reads a work dir with the files of
:mod:`~moganet_dense.report.record_hook`, ``page`` writes the HTML.
"""
