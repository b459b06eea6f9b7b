# Two accounts: "runner" is what the containers are, "gateway" what the gateway is. Which call needs which permission:
# docs/google-api.md, Permissions; tests/lint/terraform.py compares the two lists.

locals {
  gateway_permissions = [
    "logging.logEntries.list",
    "run.executions.cancel",
    "run.executions.delete",
    "run.executions.get",
    "run.executions.list",
    "run.jobs.create",
    "run.jobs.delete",
    "run.jobs.get",
    "run.jobs.list",
    "run.jobs.run",
    "run.jobs.update",
    "run.operations.get",
    "run.tasks.list",
  ]

  # On the one bucket. What is in a volume the gateway never reads, containers do; it keeps the records of volumes there.
  gateway_bucket_permissions = [
    "storage.buckets.get",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
  ]

  role_prefix = replace(local.name_prefix, "-", "_")

  gateway_project_roles = var.custom_roles ? {
    gateway = google_project_iam_custom_role.gateway[0].id
    } : {
    run     = "roles/run.developer"
    logging = "roles/logging.viewer"
  }

  gateway_bucket_roles = var.custom_roles ? {
    volumes = google_project_iam_custom_role.gateway_volumes[0].id
    } : {
    bucket  = "roles/storage.legacyBucketReader"
    objects = "roles/storage.objectUser"
  }
}

resource "google_service_account" "runner" {
  project      = var.project_id
  account_id   = "${local.name_prefix}-runner"
  display_name = "Containers of ${local.name_prefix}"

  lifecycle {
    precondition {
      condition     = length(local.name_prefix) <= 22
      error_message = "Names of service accounts have at most 30 characters: project_name and environment together at most 21."
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_service_account" "gateway" {
  project      = var.project_id
  account_id   = "${local.name_prefix}-gateway"
  display_name = "Gateway of ${local.name_prefix}"

  depends_on = [google_project_service.main]
}

# ---- the gateway ----

resource "google_project_iam_custom_role" "gateway" {
  count = var.custom_roles ? 1 : 0

  project     = var.project_id
  role_id     = "${local.role_prefix}_gateway"
  title       = "Gateway of ${local.name_prefix}"
  description = "Runs containers as Cloud Run jobs, and reads their logs"
  permissions = local.gateway_permissions

  depends_on = [google_project_service.main]
}

resource "google_project_iam_custom_role" "gateway_volumes" {
  count = var.custom_roles ? 1 : 0

  project     = var.project_id
  role_id     = "${local.role_prefix}_gateway_volumes"
  title       = "Volumes of ${local.name_prefix}"
  description = "Deletes the folders of removed volumes"
  permissions = local.gateway_bucket_permissions

  depends_on = [google_project_service.main]
}

resource "google_project_iam_member" "gateway" {
  for_each = local.gateway_project_roles

  project = var.project_id
  role    = each.value
  member  = "serviceAccount:${google_service_account.gateway.email}"
}

resource "google_storage_bucket_iam_member" "gateway" {
  for_each = local.gateway_bucket_roles

  bucket = google_storage_bucket.volumes.name
  role   = each.value
  member = "serviceAccount:${google_service_account.gateway.email}"
}

# A job runs as the runner: who makes it must be allowed to act as the runner, and as nobody else.
resource "google_service_account_iam_member" "gateway_acts_as_runner" {
  service_account_id = google_service_account.runner.name
  role               = "roles/iam.serviceAccountUser"
  member             = "serviceAccount:${google_service_account.gateway.email}"
}

resource "google_artifact_registry_repository_iam_member" "gateway_main" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.main.repository_id
  role       = "roles/artifactregistry.writer"
  member     = "serviceAccount:${google_service_account.gateway.email}"
}

resource "google_artifact_registry_repository_iam_member" "gateway_images" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.writer"
  member     = "serviceAccount:${google_service_account.gateway.email}"
}

resource "google_artifact_registry_repository_iam_member" "gateway_hub" {
  count = var.hub_mirror ? 1 : 0

  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.hub[0].repository_id
  role       = "roles/artifactregistry.reader"
  member     = "serviceAccount:${google_service_account.gateway.email}"
}

# ---- the containers: their volumes, and nothing else. Images are pulled and logs written by Cloud Run itself. ----

resource "google_storage_bucket_iam_member" "runner" {
  bucket = google_storage_bucket.volumes.name
  role   = "roles/storage.objectUser"
  member = "serviceAccount:${google_service_account.runner.email}"
}
