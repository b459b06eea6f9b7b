# A network for one machine: HTTPS from everywhere, ssh through Identity-Aware Proxy only.

resource "google_compute_network" "main" {
  project                 = var.project_id
  name                    = "${var.name}-net"
  auto_create_subnetworks = false

  depends_on = [google_project_service.main]
}

resource "google_compute_subnetwork" "main" {
  project                  = var.project_id
  name                     = "${var.name}-subnet"
  region                   = local.region
  network                  = google_compute_network.main.id
  ip_cidr_range            = var.ip_range
  private_ip_google_access = true
}

resource "google_compute_address" "main" {
  project = var.project_id
  name    = "${var.name}-address"
  region  = local.region

  depends_on = [google_project_service.main]
}

# 80 is for the certificate authority's question (ACME http-01), and redirects everything else.
resource "google_compute_firewall" "https" {
  project       = var.project_id
  name          = "${var.name}-https"
  network       = google_compute_network.main.id
  source_ranges = ["0.0.0.0/0"]
  target_tags   = [var.name]

  allow {
    protocol = "tcp"
    ports    = var.certificate_secret != "" ? ["443"] : ["80", "443"]
  }
}

resource "google_compute_firewall" "ssh" {
  project       = var.project_id
  name          = "${var.name}-ssh"
  network       = google_compute_network.main.id
  source_ranges = ["35.235.240.0/20"]
  target_tags   = [var.name]

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

resource "google_dns_record_set" "gateway" {
  count = var.dns_managed_zone != "" ? 1 : 0

  project      = var.project_id
  managed_zone = var.dns_managed_zone
  name         = "${var.domain}."
  type         = "A"
  ttl          = 300
  rrdatas      = [google_compute_address.main.address]
}
