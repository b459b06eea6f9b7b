# The gateway on a machine of its own: Debian 12, systemd, Caddy in front for TLS. Agents come in by HTTPS on one path;
# Docker clients come by ssh to a unix socket, and there is no other way in.

locals {
  region = join("-", slice(split("-", var.zone), 0, 2))

  # Ports that containers publish are for this machine, unless you say otherwise.
  settings = merge({ SOCKERLESS_PUBLISH_ADDRESS = "127.0.0.1" }, var.settings, {
    SOCKERLESS_CALLBACK_URL  = "https://${var.domain}"
    SOCKERLESS_CALLBACK_ADDR = "127.0.0.1:9112"
  })

  services = concat(
    ["compute.googleapis.com", "iap.googleapis.com"],
    var.certificate_secret != "" ? ["secretmanager.googleapis.com"] : [],
  )
}

resource "google_project_service" "main" {
  for_each = toset(local.services)

  project            = var.project_id
  service            = each.key
  disable_on_destroy = false
}

# ---- the package: the machine fetches it when it starts ----

resource "google_storage_bucket" "package" {
  project                     = var.project_id
  name                        = "${replace(replace(var.project_id, ":", "-"), ".", "-")}-${var.name}-package"
  location                    = local.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true
  labels                      = var.labels
}

resource "google_storage_bucket_object" "package" {
  bucket = google_storage_bucket.package.name
  name   = "sockerless-gateway-${filemd5(var.package)}.deb"
  source = var.package
}

resource "google_storage_bucket_iam_member" "package" {
  bucket = google_storage_bucket.package.name
  role   = "roles/storage.objectViewer"
  member = "serviceAccount:${var.service_account_email}"
}

resource "google_secret_manager_secret_iam_member" "certificate" {
  count = var.certificate_secret != "" ? 1 : 0

  project   = var.project_id
  secret_id = var.certificate_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${var.service_account_email}"
}

# ---- the state: a disk that outlives the machine, and its copies ----

resource "google_compute_disk" "state" {
  project = var.project_id
  name    = "${var.name}-state"
  zone    = var.zone
  type    = "pd-balanced"
  size    = var.state_disk_gb
  labels  = var.labels

  depends_on = [google_project_service.main]
}

resource "google_compute_resource_policy" "snapshots" {
  count = var.snapshot_days > 0 ? 1 : 0

  project = var.project_id
  name    = "${var.name}-snapshots"
  region  = local.region

  snapshot_schedule_policy {
    schedule {
      daily_schedule {
        days_in_cycle = 1
        start_time    = "03:00"
      }
    }

    retention_policy {
      max_retention_days    = var.snapshot_days
      on_source_disk_delete = "KEEP_AUTO_SNAPSHOTS"
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_compute_disk_resource_policy_attachment" "snapshots" {
  count = var.snapshot_days > 0 ? 1 : 0

  project = var.project_id
  zone    = var.zone
  disk    = google_compute_disk.state.name
  name    = google_compute_resource_policy.snapshots[0].name
}

# ---- the machine ----

resource "google_compute_instance" "gateway" {
  project                   = var.project_id
  name                      = var.name
  zone                      = var.zone
  machine_type              = var.machine_type
  allow_stopping_for_update = true
  labels                    = var.labels
  tags                      = [var.name]

  boot_disk {
    initialize_params {
      image = "debian-cloud/debian-12"
      size  = 10
      type  = "pd-balanced"
    }
  }

  attached_disk {
    source      = google_compute_disk.state.id
    device_name = "sockerless-state"
  }

  network_interface {
    subnetwork = google_compute_subnetwork.main.id

    access_config {
      nat_ip = google_compute_address.main.address
    }
  }

  service_account {
    email  = var.service_account_email
    scopes = ["https://www.googleapis.com/auth/cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot = true
  }

  metadata = {
    enable-oslogin          = "TRUE"
    block-project-ssh-keys  = "TRUE"
    startup-script          = file("${path.module}/startup.sh")
    sockerless-package      = "${google_storage_bucket.package.name}/${google_storage_bucket_object.package.name}"
    sockerless-domain       = var.domain
    sockerless-acme-email   = var.acme_email
    sockerless-certificate  = var.certificate_secret != "" ? "projects/${var.project_id}/secrets/${var.certificate_secret}" : ""
    sockerless-gateway-env  = join("", [for name in sort(keys(local.settings)) : "${name}=${local.settings[name]}\n"])
    sockerless-agent-image  = lookup(local.settings, "SOCKERLESS_GCR_AGENT_IMAGE", "")
    sockerless-state-device = "sockerless-state"
  }

  depends_on = [google_storage_bucket_iam_member.package, google_secret_manager_secret_iam_member.certificate]
}

# ---- who may come in by ssh ----

resource "google_iap_tunnel_instance_iam_member" "users" {
  for_each = toset(var.users)

  project  = var.project_id
  zone     = var.zone
  instance = google_compute_instance.gateway.name
  role     = "roles/iap.tunnelResourceAccessor"
  member   = each.key
}

resource "google_compute_instance_iam_member" "users" {
  for_each = toset(var.users)

  project       = var.project_id
  zone          = var.zone
  instance_name = google_compute_instance.gateway.name
  role          = "roles/compute.osLogin"
  member        = each.key
}

# OS Login asks for this on machines that have an account.
resource "google_service_account_iam_member" "users" {
  for_each = toset(var.users)

  service_account_id = "projects/${var.project_id}/serviceAccounts/${var.service_account_email}"
  role               = "roles/iam.serviceAccountUser"
  member             = each.key
}
