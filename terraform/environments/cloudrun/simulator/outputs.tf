output "project_id" {
  description = "The project: SOCKERLESS_GCR_PROJECT."
  value       = module.cloudrun.project_id
}

output "region" {
  description = "The region: SOCKERLESS_GCR_REGION."
  value       = module.cloudrun.region
}

output "vpc_network_name" {
  description = "Name of the network; empty with vpc = none."
  value       = module.cloudrun.vpc_network_name
}

output "vpc_network_id" {
  description = "Full name of the network; empty with vpc = none."
  value       = module.cloudrun.vpc_network_id
}

output "vpc_connector_name" {
  description = "Name of the connector; empty unless vpc = connector."
  value       = module.cloudrun.vpc_connector_name
}

output "vpc_connector_id" {
  description = "Full name of the connector: SOCKERLESS_GCR_VPC_CONNECTOR; empty unless vpc = connector."
  value       = module.cloudrun.vpc_connector_id
}

output "dns_zone_name" {
  description = "Name of the private DNS zone; empty if there is none."
  value       = module.cloudrun.dns_zone_name
}

output "dns_zone_dns_name" {
  description = "The zone's DNS name, with its dot; empty if there is none."
  value       = module.cloudrun.dns_zone_dns_name
}

output "gcs_bucket_name" {
  description = "Bucket of the volumes: SOCKERLESS_GCR_VOLUME_BUCKET."
  value       = module.cloudrun.gcs_bucket_name
}

output "gcs_bucket_url" {
  description = "The same as gs://."
  value       = module.cloudrun.gcs_bucket_url
}

output "artifact_registry_repository_name" {
  description = "Name of the repository with the agent's image."
  value       = module.cloudrun.artifact_registry_repository_name
}

output "artifact_registry_repository_url" {
  description = "Where to push the agent's image: HOST/PROJECT/REPOSITORY."
  value       = module.cloudrun.artifact_registry_repository_url
}

output "service_account_email" {
  description = "What the containers run as: SOCKERLESS_GCR_SERVICE_ACCOUNT."
  value       = module.cloudrun.service_account_email
}

output "service_account_id" {
  description = "Full name of that account."
  value       = module.cloudrun.service_account_id
}

output "gateway_service_account_email" {
  description = "What the gateway runs as."
  value       = module.cloudrun.gateway_service_account_email
}

output "images_repository_url" {
  description = "Where images are put with the agent in them, and those of docker load, import and commit: SOCKERLESS_GCR_IMAGE_REPOSITORY."
  value       = module.cloudrun.images_repository_url
}

output "agent_image" {
  description = "What the agent's image has to be pushed as: SOCKERLESS_GCR_AGENT_IMAGE."
  value       = module.cloudrun.agent_image
}

output "gateway_settings" {
  description = "The gateway's settings for this project, name to value."
  value       = module.cloudrun.gateway_settings
}

output "gateway_env" {
  description = "The gateway's settings as the file /etc/sockerless/gateway.env, the simulator's address included."
  value       = "${module.cloudrun.gateway_env}SOCKERLESS_ENDPOINT_URL=${var.endpoint}\n"
}
