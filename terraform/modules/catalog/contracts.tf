# What arrives, from contracts and domain manifests: nothing about a dataset is written here.
locals {
  manifests = { for path in fileset(var.domains_dir, "*.yaml") : trimsuffix(path, ".yaml") => yamldecode(file("${var.domains_dir}/${path}")) }

  documents = { for path in fileset(var.contracts_dir, "*/*.yaml") : path => yamldecode(file("${var.contracts_dir}/${path}")) }

  # A dataset arrives in files; reports and dimensions are made from others and live in PostgreSQL.
  arriving = ["snapshot", "changes", "merge"]

  datasets = { for path, document in local.documents : "${document.domain}_${document.schema[0].name}" => {
    name      = document.schema[0].name
    frequency = one([for sla in try(document.slaProperties, []) : sla.unit if sla.property == "frequency"])
    pipeline  = local.manifests[document.domain].dag
    services  = try(local.manifests[document.domain].services, [])
    raw       = try(local.manifests[document.domain].prefixes.raw[document.schema[0].name], "raw/${document.domain}/${document.schema[0].name}/")
    latency_hours = sum(concat([0], [for sla in try(document.slaProperties, []) :
    sla.value * lookup(local.hours, sla.unit, 0) if sla.property == "latency"]))
  } if contains(local.arriving, try(coalesce(one([for custom in document.schema[0].customProperties : custom.value if custom.property == "loadMode"])), "")) }

  hours = { h = 1, d = 24, w = 168, months = 744 } # a month: the longest
}
