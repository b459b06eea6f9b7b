mock_provider "google" {}

run "points_the_gateway_at_the_simulator" {
  assert {
    condition     = endswith(output.gateway_env, "SOCKERLESS_ENDPOINT_URL=http://localhost:8085\n")
    error_message = "the simulator's address"
  }
  assert {
    condition     = output.project_id == "sockerless-simulator" && output.gcs_bucket_name == "sockerless-simulator-sockerless-simulator-volumes"
    error_message = "the names"
  }
}

run "refuses_an_endpoint_with_a_path" {
  command = plan
  variables {
    endpoint = "http://localhost:8085/v1"
  }
  expect_failures = [var.endpoint]
}
