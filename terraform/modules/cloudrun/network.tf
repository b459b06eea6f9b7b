# Only with vpc = direct or connector: for containers that have to reach something private.

resource "google_compute_network" "main" {
  count = local.has_vpc ? 1 : 0

  project                 = var.project_id
  name                    = "${local.name_prefix}-vpc"
  auto_create_subnetworks = false

  depends_on = [google_project_service.main]
}

resource "google_compute_subnetwork" "connector" {
  count = local.has_connector ? 1 : 0

  project       = var.project_id
  name          = "${local.name_prefix}-connector-subnet"
  region        = var.region
  network       = google_compute_network.main[0].id
  ip_cidr_range = var.connector_ip_range
}

resource "google_vpc_access_connector" "main" {
  count = local.has_connector ? 1 : 0

  project       = var.project_id
  name          = "${local.name_prefix}-conn"
  region        = var.region
  machine_type  = var.vpc_connector_machine_type
  min_instances = var.vpc_connector_min_instances
  max_instances = var.vpc_connector_max_instances

  subnet {
    name = google_compute_subnetwork.connector[0].name
  }

  lifecycle {
    precondition {
      condition     = length(local.name_prefix) <= 20
      error_message = "The connector's name has at most 25 characters: project_name and environment together at most 19."
    }
  }

  depends_on = [google_project_service.main]
}

resource "google_compute_subnetwork" "jobs" {
  count = var.vpc == "direct" ? 1 : 0

  project                  = var.project_id
  name                     = "${local.name_prefix}-jobs-subnet"
  region                   = var.region
  network                  = google_compute_network.main[0].id
  ip_cidr_range            = var.jobs_ip_range
  private_ip_google_access = true
}

# With all traffic in the network, the agents' calls to the gateway leave it here.
resource "google_compute_router" "main" {
  count = local.has_nat ? 1 : 0

  project = var.project_id
  name    = "${local.name_prefix}-router"
  region  = var.region
  network = google_compute_network.main[0].id
}

resource "google_compute_router_nat" "main" {
  count = local.has_nat ? 1 : 0

  project                            = var.project_id
  name                               = "${local.name_prefix}-nat"
  region                             = var.region
  router                             = google_compute_router.main[0].name
  nat_ip_allocate_option             = "AUTO_ONLY"
  source_subnetwork_ip_ranges_to_nat = "ALL_SUBNETWORKS_ALL_IP_RANGES"
}

resource "google_dns_managed_zone" "private" {
  count = local.has_dns ? 1 : 0

  project     = var.project_id
  name        = "${local.name_prefix}-dns"
  dns_name    = "${var.dns_suffix}."
  description = "Private names of ${local.name_prefix}"
  visibility  = "private"
  labels      = local.common_labels

  private_visibility_config {
    networks {
      network_url = google_compute_network.main[0].id
    }
  }

  depends_on = [google_project_service.main]
}
