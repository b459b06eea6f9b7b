# From resources to the gateway's settings; `sockerless-gateway --help` says what each does.

locals {
  settings = merge(
    {
      SOCKERLESS_GCR_PROJECT          = var.project_id
      SOCKERLESS_GCR_REGION           = var.region
      SOCKERLESS_GCR_SERVICE_ACCOUNT  = google_service_account.runner.email
      SOCKERLESS_GCR_VOLUME_BUCKET    = google_storage_bucket.volumes.name
      SOCKERLESS_GCR_AGENT_IMAGE      = "${local.registry}/${google_artifact_registry_repository.main.repository_id}/agent:${var.agent_image_tag}"
      SOCKERLESS_GCR_IMAGE_REPOSITORY = "${local.registry}/${google_artifact_registry_repository.images.repository_id}"
    },
    var.callback_url != "" ? { SOCKERLESS_CALLBACK_URL = var.callback_url } : {},
    var.hub_mirror ? {
      SOCKERLESS_HUB_MIRROR = "${local.registry}/${google_artifact_registry_repository.hub[0].repository_id}"
    } : {},
    local.has_connector ? { SOCKERLESS_GCR_VPC_CONNECTOR = google_vpc_access_connector.main[0].id } : {},
    var.vpc == "direct" ? {
      SOCKERLESS_GCR_NETWORK    = google_compute_network.main[0].name
      SOCKERLESS_GCR_SUBNETWORK = google_compute_subnetwork.jobs[0].name
    } : {},
    local.has_vpc ? { SOCKERLESS_GCR_VPC_EGRESS = var.vpc_egress } : {},
  )
}
