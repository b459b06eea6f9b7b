# ---- the predecessor's outputs, under its names; empty where there is nothing ----

output "project_id" {
  description = "The project: SOCKERLESS_GCR_PROJECT."
  value       = var.project_id
}

output "region" {
  description = "The region: SOCKERLESS_GCR_REGION."
  value       = var.region
}

output "vpc_network_name" {
  description = "Name of the network; empty with vpc = none."
  value       = join("", google_compute_network.main[*].name)
}

output "vpc_network_id" {
  description = "Full name of the network; empty with vpc = none."
  value       = join("", google_compute_network.main[*].id)
}

output "vpc_connector_name" {
  description = "Name of the connector; empty unless vpc = connector."
  value       = join("", google_vpc_access_connector.main[*].name)
}

output "vpc_connector_id" {
  description = "Full name of the connector: SOCKERLESS_GCR_VPC_CONNECTOR; empty unless vpc = connector."
  value       = join("", google_vpc_access_connector.main[*].id)
}

output "dns_zone_name" {
  description = "Name of the private DNS zone; empty if there is none."
  value       = join("", google_dns_managed_zone.private[*].name)
}

output "dns_zone_dns_name" {
  description = "The zone's DNS name, with its dot; empty if there is none."
  value       = join("", google_dns_managed_zone.private[*].dns_name)
}

output "gcs_bucket_name" {
  description = "Bucket of the volumes: SOCKERLESS_GCR_VOLUME_BUCKET."
  value       = google_storage_bucket.volumes.name
}

output "gcs_bucket_url" {
  description = "The same as gs://."
  value       = google_storage_bucket.volumes.url
}

output "artifact_registry_repository_name" {
  description = "Name of the repository with the agent's image."
  value       = google_artifact_registry_repository.main.name
}

output "artifact_registry_repository_url" {
  description = "Where to push the agent's image: HOST/PROJECT/REPOSITORY."
  value       = "${local.registry}/${google_artifact_registry_repository.main.repository_id}"
}

output "service_account_email" {
  description = "What the containers run as: SOCKERLESS_GCR_SERVICE_ACCOUNT."
  value       = google_service_account.runner.email
}

output "service_account_id" {
  description = "Full name of that account."
  value       = google_service_account.runner.id
}

# ---- what is new ----

output "gateway_service_account_email" {
  description = "What the gateway runs as."
  value       = google_service_account.gateway.email
}

output "images_repository_url" {
  description = "Where images are put with the agent in them, and those of docker load, import and commit: SOCKERLESS_GCR_IMAGE_REPOSITORY."
  value       = "${local.registry}/${google_artifact_registry_repository.images.repository_id}"
}

output "agent_image" {
  description = "What the agent's image has to be pushed as: SOCKERLESS_GCR_AGENT_IMAGE."
  value       = local.settings.SOCKERLESS_GCR_AGENT_IMAGE
}

output "gateway_settings" {
  description = "The gateway's settings for this project, name to value."
  value       = local.settings
}

output "gateway_env" {
  description = "The same as the file /etc/sockerless/gateway.env."
  value       = join("", [for name in sort(keys(local.settings)) : "${name}=${local.settings[name]}\n"])
}
