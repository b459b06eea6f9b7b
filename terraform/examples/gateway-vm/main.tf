# Everything: Cloud Run prepared, and a machine with the gateway, a certificate from Let's Encrypt, and containers that reach
# a private network by Direct VPC egress.

provider "google" {
  project = var.project_id
  region  = var.region
}

variable "project_id" {
  description = "The Google Cloud project."
  type        = string
}

variable "region" {
  description = "Where the jobs and the machine are."
  type        = string
  default     = "us-central1"
}

variable "domain" {
  description = "DNS name of the machine, in the Cloud DNS zone."
  type        = string
}

variable "dns_managed_zone" {
  description = "The Cloud DNS zone's name in this project."
  type        = string
}

variable "package" {
  description = "What make package built."
  type        = string
}

module "cloudrun" {
  source = "../../modules/cloudrun"

  project_id  = var.project_id
  region      = var.region
  environment = "example"
  vpc         = "direct"
}

module "gateway" {
  source = "../../modules/gateway"

  project_id            = var.project_id
  name                  = "sockerless-example-gw"
  zone                  = "${var.region}-b"
  domain                = var.domain
  dns_managed_zone      = var.dns_managed_zone
  package               = var.package
  service_account_email = module.cloudrun.gateway_service_account_email

  settings = merge(module.cloudrun.gateway_settings, {
    SOCKERLESS_TASK_TIMEOUT = "6h"
  })
}

output "docker_tunnel" {
  description = "Command that brings the machine's Docker socket to yours."
  value       = module.gateway.docker_tunnel
}
