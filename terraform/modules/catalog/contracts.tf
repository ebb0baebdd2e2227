# Tables from contracts and domain manifests: nothing about a column or prefix is written here.
locals {
  manifests = { for path in fileset(var.domains_dir, "*.yaml") : trimsuffix(path, ".yaml") => yamldecode(file("${var.domains_dir}/${path}")) }

  documents = { for path in fileset(var.contracts_dir, "*/*.yaml") : path => yamldecode(file("${var.contracts_dir}/${path}")) }

  # A dataset arrives in files; reports and dimensions are made from others and live in PostgreSQL.
  arriving = ["snapshot", "changes", "merge"]

  datasets = { for path, document in local.documents : "${document.domain}_${document.schema[0].name}" => {
    domain  = document.domain
    name    = document.schema[0].name
    version = document.version
    purpose = trimspace(replace(try(document.description.purpose, ""), "/\\s+/", " "))
    grain   = try(document.schema[0].dataGranularityDescription, "")
    columns = [for property in document.schema[0].properties : {
      name     = property.name
      type     = replace(lower(property.physicalType), " ", "")
      comment  = substr(try(property.description, ""), 0, 255) # as much as Glue keeps
      required = try(property.required, false)
    }]
    frequency = one([for sla in try(document.slaProperties, []) : sla.unit if sla.property == "frequency"])
    pipeline  = local.manifests[document.domain].dag
    raw       = try(local.manifests[document.domain].prefixes.raw[document.schema[0].name], "raw/${document.domain}/${document.schema[0].name}/")
    processed = try(local.manifests[document.domain].prefixes.processed["${document.domain}.${document.schema[0].name}"], "processed/${document.domain}/${document.schema[0].name}/dt=YYYY-MM-DD/")
    latency_hours = sum(concat([0], [for sla in try(document.slaProperties, []) :
    sla.value * lookup(local.hours, sla.unit, 0) if sla.property == "latency"]))
  } if contains(local.arriving, try(coalesce(one([for custom in document.schema[0].customProperties : custom.value if custom.property == "loadMode"])), "")) }

  hours = { h = 1, d = 24, w = 168, months = 744 } # a month: the longest

  # PostgreSQL's types as Hive and Athena call them. A time zone is not lost: such instants are stored in UTC.
  hive_types = {
    smallint           = "smallint"
    integer            = "int"
    bigint             = "bigint"
    real               = "float"
    "doubleprecision"  = "double"
    numeric            = "decimal(38,10)"
    boolean            = "boolean"
    date               = "date"
    timestamp          = "timestamp"
    timestamptz        = "timestamp"
    time               = "string"
    text               = "string"
    "text[]"           = "array<string>"
    uuid               = "string"
    json               = "string"
    jsonb              = "string"
    bytea              = "binary"
    "varchar"          = "string"
    "charactervarying" = "string"
    "char"             = "string"
    "character"        = "string"
  }

  tables = { for key, dataset in local.datasets : key => merge(dataset, {
    location  = "s3://${var.lake_bucket}/${regex("^[^=]*/", dataset.processed)}"
    partition = try(one(regex("^[^=]*/([a-z_]+)=YYYY-MM-DD/$", dataset.processed)), null)
    columns = [for column in dataset.columns : merge(column, {
      hive_type = (
        can(regex("^numeric\\([0-9]+,[0-9]+\\)$", column.type)) ? replace(column.type, "numeric", "decimal") :
        can(regex("^numeric\\([0-9]+\\)$", column.type)) ? "decimal(${regex("[0-9]+", column.type)},0)" :
        lookup(local.hive_types, replace(column.type, "/\\([0-9]+\\)$/", ""), null)
      )
    })]
  }) }
}
