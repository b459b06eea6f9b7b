# Repositories, apart because their contents are: "repo" holds the agent's image (for SOCKERLESS_AGENT_MODE=sidecar),
# "images" what users load, import and commit, and every image once more with the agent in it, "hub" a cache of Docker Hub.

locals {
  registry = "${var.region}-docker.pkg.dev/${var.project_id}"
}

resource "google_artifact_registry_repository" "main" {
  project       = var.project_id
  location      = var.region
  repository_id = "${local.name_prefix}-repo"
  description   = "The agent's image"
  format        = "DOCKER"
  labels        = local.common_labels

  dynamic "cleanup_policies" {
    for_each = var.image_keep_days > 0 ? [var.image_keep_days] : []

    content {
      id     = "delete-untagged"
      action = "DELETE"

      condition {
        tag_state  = "UNTAGGED"
        older_than = "${cleanup_policies.value * 86400}s"
      }
    }
  }

  depends_on = [google_project_service.main]
}

# The gateway tags every image with its ID, so that only what nobody knows any more is untagged.
resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = "${local.name_prefix}-images"
  description   = "Images from docker load, import and commit, and images with the agent in them"
  format        = "DOCKER"
  labels        = local.common_labels

  dynamic "cleanup_policies" {
    for_each = var.image_keep_days > 0 ? [var.image_keep_days] : []

    content {
      id     = "delete-untagged"
      action = "DELETE"

      condition {
        tag_state  = "UNTAGGED"
        older_than = "${cleanup_policies.value * 86400}s"
      }
    }
  }

  # Overlays are made again when they are missed (docs/decisions/0010).
  dynamic "cleanup_policies" {
    for_each = var.image_keep_days > 0 ? [var.image_keep_days] : []

    content {
      id     = "delete-old-overlays"
      action = "DELETE"

      condition {
        tag_state             = "ANY"
        older_than            = "${cleanup_policies.value * 86400}s"
        package_name_prefixes = ["overlays"]
      }
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_artifact_registry_repository" "hub" {
  count = var.hub_mirror ? 1 : 0

  project       = var.project_id
  location      = var.region
  repository_id = "${local.name_prefix}-hub"
  description   = "Docker Hub, cached"
  format        = "DOCKER"
  mode          = "REMOTE_REPOSITORY"
  labels        = local.common_labels

  remote_repository_config {
    description = "Docker Hub"

    docker_repository {
      public_repository = "DOCKER_HUB"
    }
  }

  depends_on = [google_project_service.main]
}
