mock_provider "google" {
  mock_resource "google_compute_address" {
    defaults = {
      address = "203.0.113.7"
    }
  }
}

variables {
  project_id            = "my-project"
  name                  = "gw"
  zone                  = "europe-west1-b"
  domain                = "gateway.example.com"
  package               = "startup.sh"
  service_account_email = "gw@my-project.iam.gserviceaccount.com"
  settings = {
    SOCKERLESS_GCR_PROJECT     = "my-project"
    SOCKERLESS_GCR_AGENT_IMAGE = "europe-west1-docker.pkg.dev/my-project/repo/agent:1"
    SOCKERLESS_CALLBACK_ADDR   = ":9112"
  }
}

run "machine" {
  assert {
    condition     = output.gateway_env == "SOCKERLESS_CALLBACK_ADDR=127.0.0.1:9112\nSOCKERLESS_CALLBACK_URL=https://gateway.example.com\nSOCKERLESS_GCR_AGENT_IMAGE=europe-west1-docker.pkg.dev/my-project/repo/agent:1\nSOCKERLESS_GCR_PROJECT=my-project\nSOCKERLESS_PUBLISH_ADDRESS=127.0.0.1\n"
    error_message = "the env file: agents come by the front alone, published ports stay on the machine"
  }
  assert {
    condition     = google_compute_instance.gateway.network_interface[0].access_config[0].nat_ip == "203.0.113.7"
    error_message = "the machine has the address that the name points to"
  }
  assert {
    condition     = google_compute_subnetwork.main.region == "europe-west1" && google_compute_address.main.region == "europe-west1"
    error_message = "the zone's region"
  }
  assert {
    condition     = google_compute_firewall.ssh.source_ranges == toset(["35.235.240.0/20"])
    error_message = "ssh is open to more than Identity-Aware Proxy"
  }
  assert {
    condition     = one(google_compute_firewall.https.allow).ports == tolist(["80", "443"])
    error_message = "the doors"
  }
  assert {
    condition     = google_compute_instance.gateway.metadata["enable-oslogin"] == "TRUE"
    error_message = "ssh keys in metadata"
  }
  assert {
    condition     = google_compute_instance.gateway.metadata["sockerless-package"] == "my-project-gw-package/sockerless-gateway-${filemd5("startup.sh")}.deb"
    error_message = "where the package is"
  }
  assert {
    condition     = length(google_dns_record_set.gateway) == 0 && length(google_secret_manager_secret_iam_member.certificate) == 0
    error_message = "what nobody asked for"
  }
}

run "own_certificate_zone_and_users" {
  variables {
    certificate_secret = "tls"
    dns_managed_zone   = "zone"
    users              = ["user:ann@example.com"]
    snapshot_days      = 0
  }
  assert {
    condition     = google_compute_instance.gateway.metadata["sockerless-certificate"] == "projects/my-project/secrets/tls"
    error_message = "the secret's name"
  }
  assert {
    condition     = one(google_compute_firewall.https.allow).ports == tolist(["443"])
    error_message = "80 is open for nothing"
  }
  assert {
    condition     = google_dns_record_set.gateway[0].name == "gateway.example.com." && google_dns_record_set.gateway[0].rrdatas == tolist(["203.0.113.7"])
    error_message = "the A record"
  }
  assert {
    condition     = google_iap_tunnel_instance_iam_member.users["user:ann@example.com"].role == "roles/iap.tunnelResourceAccessor"
    error_message = "users reach the machine"
  }
  assert {
    condition     = length(google_compute_resource_policy.snapshots) == 0
    error_message = "copies nobody wanted"
  }
}

run "refuses_a_setting_of_two_lines" {
  command = plan
  variables {
    settings = { SOCKERLESS_GCR_PROJECT = "a\nSOCKERLESS_ADDR=:2375" }
  }
  expect_failures = [var.settings]
}

run "refuses_an_address_for_a_name" {
  command = plan
  variables {
    domain = "203.0.113.7"
  }
  expect_failures = [var.domain]
}
