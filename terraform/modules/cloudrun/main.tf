# What a project needs so that the gateway can run containers in it. Without a network, unless one is wanted:
# agents call back, and nothing dials a job.

locals {
  name_prefix = "${var.project_name}-${var.environment}"

  common_labels = merge({
    project     = var.project_name
    environment = var.environment
    component   = "cloudrun"
    managed-by  = "terraform"
  }, var.labels)

  has_vpc       = var.vpc != "none"
  has_connector = var.vpc == "connector"
  has_nat       = local.has_vpc && var.vpc_egress == "all-traffic"
  has_dns       = local.has_vpc && var.dns_suffix != ""

  services = concat(
    [
      "artifactregistry.googleapis.com",
      "iam.googleapis.com",
      "logging.googleapis.com",
      "run.googleapis.com",
      "storage.googleapis.com",
    ],
    local.has_vpc ? ["compute.googleapis.com"] : [],
    local.has_connector ? ["vpcaccess.googleapis.com"] : [],
    local.has_dns ? ["dns.googleapis.com"] : [],
  )
}

resource "google_project_service" "main" {
  for_each = toset(var.manage_services ? local.services : [])

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}
