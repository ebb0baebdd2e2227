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
    quality_errors   = "QualityErrors"   # checks of severity error that do not hold
    quality_warnings = "QualityWarnings" # checks of severity warning that do not hold
    run_seconds      = "RunSeconds"      # from the start of a run to its end
    work_seconds     = "WorkSeconds"     # of them: without waits for files and approvals
    run_failed       = "RunFailed"       # 1 for a run that failed, 0 for one that did not

    stream_lag_seconds   = "StreamLagSeconds"   # how far the consumers of a stream lag
    stream_events        = "StreamEvents"       # events of a stream in a minute
    stream_repeated      = "StreamRepeated"     # of them: repeat another one
    stream_late          = "StreamLate"         # of them: too late to count
    stream_rejected      = "StreamRejected"     # of them: break the contract
    stream_batch_seconds = "StreamBatchSeconds" # how long a batch of events took on average
  }
}

# Airflow's own metrics, which the collector beside it sends with the environment's name as the only dimension.
locals {
  airflow_namespace  = "Airflow"
  airflow_dimensions = { "service.name" = var.name }

  airflow_metrics = {
    scheduler_heartbeat     = "airflow.scheduler_heartbeat"
    triggerer_heartbeat     = "airflow.triggerer_heartbeat"
    dag_processor_heartbeat = "airflow.dag_processor_heartbeat"
    import_errors           = "airflow.dag_processing.import_errors" # DAG files that cannot be imported
    running_tasks           = "airflow.executor.running_tasks"       # tasks that the executor has and that have not ended
    queued_slots            = "airflow.pool.queued_slots"            # slots of tasks that no worker has started yet
    starving_tasks          = "airflow.scheduler.tasks.starving"     # tasks that could run and wait for a slot
    scheduled_milliseconds  = "airflow.task.scheduled_duration"      # how long a task waited for a slot
  }
}
