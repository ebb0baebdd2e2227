"""Waybill: files in S3 become audited tables and reports, and every number can be traced to its files."""

import sys

if sys.version_info < (3, 11, 5):
    raise ImportError(
        f"Waybill needs Python 3.11.5 or newer, and this is {sys.version.split()[0]}. "
        "Earlier ones match possessive quantifiers wrongly, so records would be counted wrongly."
    )
