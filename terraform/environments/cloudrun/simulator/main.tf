# The same module against a simulator instead of Google: no credentials, state on this disk. The simulator has to answer
# the APIs below; our own emulator answers Storage alone, so there
#
#   terraform apply -target=module.cloudrun.google_storage_bucket.volumes

locals {
  endpoint = trimsuffix(var.endpoint, "/")
}

provider "google" {
  project               = var.project_id
  region                = var.region
  access_token          = "test-token"
  user_project_override = false

  artifact_registry_custom_endpoint = "${local.endpoint}/v1/"
  cloud_run_v2_custom_endpoint      = "${local.endpoint}/v2/"
  compute_custom_endpoint           = "${local.endpoint}/compute/v1/"
  dns_custom_endpoint               = "${local.endpoint}/dns/v1/"
  iam_custom_endpoint               = "${local.endpoint}/v1/"
  logging_custom_endpoint           = "${local.endpoint}/v2/"
  resource_manager_custom_endpoint  = "${local.endpoint}/v1/"
  service_usage_custom_endpoint     = "${local.endpoint}/v1/"
  storage_custom_endpoint           = "${local.endpoint}/storage/v1/"
  vpc_access_custom_endpoint        = "${local.endpoint}/v1/"
}

module "cloudrun" {
  source = "../../../modules/cloudrun"

  project_id       = var.project_id
  region           = var.region
  environment      = "simulator"
  vpc              = var.vpc
  manage_services  = false
  force_destroy    = true
  soft_delete_days = 0
}
