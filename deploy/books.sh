#!/bin/sh
# The books of each scheduled pipeline's last periods; exit code 1 if any is incomplete or a check does not hold.
# A period counts once its run has had hours to end: a day from 06:00 UTC of the next one on, a month from the 3rd on.
set -u
cd "$(dirname "$0")/.." || exit
waybill=.waybill/venv/bin/waybill
this_month=$(date -u -d '-2 days' +%Y-%m-15)
wrong=0
$waybill books --domain messaging "$(date -u -d "$this_month -3 months" +%Y-%m)" \
    "$(date -u -d "$this_month -1 month" +%Y-%m)" || wrong=1
$waybill books --domain shop "$(date -u -d '-8 days' +%F)" "$(date -u -d '-30 hours' +%F)" || wrong=1
exit $wrong
