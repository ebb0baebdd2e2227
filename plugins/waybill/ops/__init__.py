"""Operations: reconciliation, provenance of reports, alerts, metrics, and the check of contracts, manifests and SQL."""
