"""The business view: the reports of a domain and period, each with its waybill."""
