#!/bin/sh
# Prints the quality report, which operations_watch writes to the bucket of reports, as JSON, and then the books of the
# last periods of each scheduled pipeline. Exit code 1 if a period is incomplete or a check fails.
# A period is included hours after its run: a day from 06:00 UTC of the next day, a month from the 3rd.
set -u
this_month=$(date -u -d '-2 days' +%Y-%m-15)
wrong=0
waybill watch report --json || wrong=1
waybill books --domain messaging "$(date -u -d "$this_month -3 months" +%Y-%m)" \
    "$(date -u -d "$this_month -1 month" +%Y-%m)" || wrong=1
waybill books --domain shop "$(date -u -d '-8 days' +%F)" "$(date -u -d '-30 hours' +%F)" || wrong=1
exit $wrong
