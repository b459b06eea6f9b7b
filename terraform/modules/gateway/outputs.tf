output "address" {
  description = "The machine's address: the A record of the domain."
  value       = google_compute_address.main.address
}

output "callback_url" {
  description = "Where agents call: SOCKERLESS_CALLBACK_URL."
  value       = local.settings.SOCKERLESS_CALLBACK_URL
}

output "instance" {
  description = "Name of the machine."
  value       = google_compute_instance.gateway.name
}

output "gateway_env" {
  description = "The gateway's settings on the machine, as the file /etc/sockerless/gateway.env."
  value       = google_compute_instance.gateway.metadata.sockerless-gateway-env
}

output "docker_tunnel" {
  description = "Brings the Docker socket to your machine, for as long as it runs: then DOCKER_HOST=unix://$HOME/.sockerless.sock."
  value       = "gcloud compute ssh ${google_compute_instance.gateway.name} --project ${var.project_id} --zone ${var.zone} --tunnel-through-iap -- -N -o StreamLocalBindUnlink=yes -L $HOME/.sockerless.sock:/run/sockerless/docker.sock"
}
