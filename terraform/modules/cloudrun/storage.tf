# One bucket; a named volume is a folder in it (docs/decisions/0006). Names of buckets are the whole world's, so the
# project's id is part of it.

resource "google_storage_bucket" "volumes" {
  project                     = var.project_id
  name                        = "${replace(replace(var.project_id, ":", "-"), ".", "-")}-${local.name_prefix}-volumes"
  location                    = var.gcs_location != "" ? var.gcs_location : var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = var.force_destroy
  labels                      = merge(local.common_labels, { sockerless_managed = "true" })

  soft_delete_policy {
    retention_duration_seconds = var.soft_delete_days * 86400
  }

  dynamic "lifecycle_rule" {
    for_each = var.gcs_lifecycle_days > 0 ? [var.gcs_lifecycle_days] : []

    content {
      action {
        type = "Delete"
      }

      condition {
        age = lifecycle_rule.value
      }
    }
  }

  depends_on = [google_project_service.main]
}
