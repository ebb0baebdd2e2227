# The names of the application's metrics, here and nowhere else in Terraform. The application sends the same ones.
locals {
  namespace  = "Waybill"
  dimensions = { pipeline = "Pipeline", dataset = "Dataset" } # a DAG's id and a dataset's name; a run has no dataset

  metrics = {
    rows_in          = "RowsIn"          # records in a file
    rows_loaded      = "RowsLoaded"      # of them: inserted, updated or unchanged
    rows_rejected    = "RowsRejected"    # of them: in the quarantine
    rows_duplicate   = "RowsDuplicate"   # of them: the same as another
    load_seconds     = "LoadSeconds"     # from the first byte of a file to the commit
    freshness_hours  = "FreshnessHours"  # since the end of the newest period that is loaded
    quality_failures = "QualityFailures" # checks that do not hold
    run_seconds      = "RunSeconds"      # from the start of a run to its end
    run_failed       = "RunFailed"       # 1 for a run that failed, 0 for one that did not
  }
}
