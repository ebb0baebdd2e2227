#!/bin/sh
# The command `waybill` of the image.
exec python -m waybill "$@"
