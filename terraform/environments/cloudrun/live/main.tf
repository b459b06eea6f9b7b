# A project for real. With gateway_domain the gateway's machine is made too; without, you run it where you like.

provider "google" {
  project = var.project_id
  region  = var.region
}

module "cloudrun" {
  source = "../../../modules/cloudrun"

  project_id      = var.project_id
  region          = var.region
  environment     = "live"
  vpc             = var.vpc
  vpc_egress      = var.vpc_egress
  callback_url    = var.gateway_domain != "" ? "https://${var.gateway_domain}" : var.callback_url
  agent_image_tag = var.agent_image_tag
  labels          = var.labels
}

module "gateway" {
  source = "../../../modules/gateway"
  count  = var.gateway_domain != "" ? 1 : 0

  project_id            = var.project_id
  name                  = "sockerless-live-gw"
  zone                  = var.zone != "" ? var.zone : "${var.region}-a"
  domain                = var.gateway_domain
  package               = var.gateway_package
  acme_email            = var.acme_email
  users                 = var.users
  service_account_email = module.cloudrun.gateway_service_account_email
  settings              = merge(module.cloudrun.gateway_settings, var.settings)
  labels                = var.labels
}
