# Cloud Run prepared for a gateway that runs on a host of yours; docs/deploy.md. No machine and no network are made.

provider "google" {
  project = var.project_id
  region  = var.region
}

variable "project_id" {
  description = "The Google Cloud project."
  type        = string
}

variable "region" {
  description = "Where the jobs run."
  type        = string
  default     = "us-central1"
}

variable "callback_url" {
  description = "Where agents reach your host, such as https://gateway.example.com."
  type        = string
}

module "cloudrun" {
  source = "../../modules/cloudrun"

  project_id   = var.project_id
  region       = var.region
  environment  = "example"
  callback_url = var.callback_url
}

output "agent_image" {
  description = "What the agent's image has to be pushed as."
  value       = module.cloudrun.agent_image
}

output "gateway_service_account_email" {
  description = "The account your gateway needs credentials of."
  value       = module.cloudrun.gateway_service_account_email
}

output "gateway_env" {
  description = "Goes into /etc/sockerless/gateway.env."
  value       = module.cloudrun.gateway_env
}
