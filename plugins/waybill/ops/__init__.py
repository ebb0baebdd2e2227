"""Operations: reconciliation, the lineage of a number, alerts, metrics, and the check of contracts and SQL."""
