"""What a run did, for people, as one page: ``runs`` reads a work dir back, with what
:mod:`~moganet_dense.report.record_hook` left there, ``page`` writes it as html.
"""
