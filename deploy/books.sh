#!/bin/sh
# The books of each pipeline's last complete periods; exit code 1 if any is incomplete or a check does not hold.
set -u
cd "$(dirname "$0")/.." || exit
waybill=.waybill/venv/bin/waybill
wrong=0
$waybill books --domain messaging "$(date -u -d "$(date -u +%Y-%m-15) -3 months" +%Y-%m)" \
    "$(date -u -d "$(date -u +%Y-%m-15) -1 month" +%Y-%m)" || wrong=1
$waybill books --domain shop "$(date -u -d '-7 days' +%F)" "$(date -u -d '-1 day' +%F)" || wrong=1
exit $wrong
