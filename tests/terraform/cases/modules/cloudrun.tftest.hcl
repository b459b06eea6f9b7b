mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      email = "account@my-project.iam.gserviceaccount.com"
      name  = "projects/my-project/serviceAccounts/account@my-project.iam.gserviceaccount.com"
    }
  }
}

variables {
  project_id  = "my-project"
  environment = "test"
}

run "callback_mode_needs_no_network" {
  assert {
    condition     = length(google_compute_network.main) + length(google_vpc_access_connector.main) + length(google_compute_router_nat.main) == 0
    error_message = "a network was made"
  }
  assert {
    condition     = output.vpc_network_name == "" && output.vpc_network_id == "" && output.vpc_connector_name == "" && output.vpc_connector_id == ""
    error_message = "outputs of a network that is not there"
  }
  assert {
    condition     = output.dns_zone_name == "" && output.dns_zone_dns_name == ""
    error_message = "outputs of a zone that is not there"
  }
  assert {
    condition     = !contains(keys(google_project_service.main), "compute.googleapis.com")
    error_message = "the Compute API is switched on for nothing"
  }
  assert {
    condition     = !can(output.gateway_settings.SOCKERLESS_GCR_VPC_EGRESS)
    error_message = "settings of a network that is not there"
  }
}

run "names_and_settings" {
  variables {
    callback_url = "https://gateway.example.com"
  }
  assert {
    condition     = output.artifact_registry_repository_url == "us-central1-docker.pkg.dev/my-project/sockerless-test-repo"
    error_message = "the repository's address"
  }
  assert {
    condition     = output.agent_image == "us-central1-docker.pkg.dev/my-project/sockerless-test-repo/agent:latest"
    error_message = "the agent's image"
  }
  assert {
    condition     = output.gcs_bucket_name == "my-project-sockerless-test-volumes"
    error_message = "the bucket's name"
  }
  assert {
    condition     = output.gateway_settings.SOCKERLESS_HUB_MIRROR == "us-central1-docker.pkg.dev/my-project/sockerless-test-hub"
    error_message = "the mirror of Docker Hub"
  }
  assert {
    condition     = startswith(output.gateway_env, "SOCKERLESS_CALLBACK_URL=https://gateway.example.com\nSOCKERLESS_GCR_AGENT_IMAGE=") && endswith(output.gateway_env, "\n")
    error_message = "the env file is not sorted lines"
  }
  assert {
    condition     = google_service_account.runner.account_id == "sockerless-test-runner" && google_service_account.gateway.account_id == "sockerless-test-gateway"
    error_message = "the accounts' names"
  }
}

run "least_privilege" {
  assert {
    condition     = length(google_project_iam_member.gateway) == 1 && alltrue([for m in google_project_iam_member.gateway : !startswith(m.role, "roles/")])
    error_message = "the gateway has more than its own role in the project"
  }
  assert {
    condition     = alltrue([for p in google_project_iam_custom_role.gateway[0].permissions : !can(regex("setIamPolicy|actAs|services[.]|secrets|storage[.]", p))])
    error_message = "the gateway's role has what no call needs"
  }
  assert {
    condition     = google_storage_bucket_iam_member.runner.role == "roles/storage.objectUser" && google_storage_bucket_iam_member.runner.bucket == google_storage_bucket.volumes.name
    error_message = "containers write their volumes, and no other bucket"
  }
  assert {
    condition     = google_service_account_iam_member.gateway_acts_as_runner.service_account_id == google_service_account.runner.name
    error_message = "the gateway acts as the runner alone"
  }
  assert {
    condition     = google_storage_bucket.volumes.public_access_prevention == "enforced" && google_storage_bucket.volumes.uniform_bucket_level_access && !google_storage_bucket.volumes.force_destroy
    error_message = "the bucket is open, or goes with its files"
  }
}

run "predefined_roles" {
  variables {
    custom_roles = false
  }
  assert {
    condition     = toset([for m in google_project_iam_member.gateway : m.role]) == toset(["roles/run.developer", "roles/logging.viewer"])
    error_message = "roles in the project"
  }
  assert {
    condition     = length(google_project_iam_custom_role.gateway) + length(google_project_iam_custom_role.gateway_volumes) == 0
    error_message = "custom roles all the same"
  }
}

run "connector" {
  variables {
    vpc        = "connector"
    vpc_egress = "all-traffic"
  }
  assert {
    condition     = google_vpc_access_connector.main[0].subnet[0].name == "sockerless-test-connector-subnet" && output.vpc_connector_name == "sockerless-test-conn"
    error_message = "the connector and its subnet"
  }
  assert {
    condition     = output.gateway_settings.SOCKERLESS_GCR_VPC_CONNECTOR == output.vpc_connector_id && !can(output.gateway_settings.SOCKERLESS_GCR_NETWORK)
    error_message = "a connector or a network, not both"
  }
  assert {
    condition     = length(google_compute_router_nat.main) == 1
    error_message = "all traffic, and no way out"
  }
  assert {
    condition     = output.dns_zone_dns_name == "sockerless.internal."
    error_message = "the private zone"
  }
}

run "direct" {
  variables {
    vpc        = "direct"
    dns_suffix = ""
  }
  assert {
    condition     = output.gateway_settings.SOCKERLESS_GCR_NETWORK == "sockerless-test-vpc" && output.gateway_settings.SOCKERLESS_GCR_SUBNETWORK == "sockerless-test-jobs-subnet"
    error_message = "network and subnetwork"
  }
  assert {
    condition     = output.gateway_settings.SOCKERLESS_GCR_VPC_EGRESS == "private-ranges-only" && length(google_compute_router_nat.main) == 0
    error_message = "private ranges only, and no NAT"
  }
  assert {
    condition     = length(google_dns_managed_zone.private) == 0
    error_message = "a zone nobody wanted"
  }
}

run "volumes_that_forget" {
  variables {
    gcs_lifecycle_days = 30
  }
  assert {
    condition     = one(google_storage_bucket.volumes.lifecycle_rule[0].condition).age == 30
    error_message = "the age of files"
  }
}

run "refuses_a_callback_without_tls" {
  command = plan
  variables {
    callback_url = "http://gateway.example.com"
  }
  expect_failures = [var.callback_url]
}

run "refuses_names_that_are_too_long" {
  command = plan
  variables {
    environment = "a-very-long-environment"
  }
  expect_failures = [google_service_account.runner]
}

run "refuses_an_unknown_vpc" {
  command = plan
  variables {
    vpc = "peering"
  }
  expect_failures = [var.vpc]
}
