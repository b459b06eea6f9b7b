mock_provider "google" {}

variables {
  project_id = "my-project"
}

run "without_a_machine" {
  variables {
    callback_url = "https://elsewhere.example.com"
  }
  assert {
    condition     = output.gateway_settings.SOCKERLESS_CALLBACK_URL == "https://elsewhere.example.com" && output.docker_tunnel == "" && output.gateway_address == ""
    error_message = "no machine, and its outputs empty"
  }
}

run "with_a_machine" {
  variables {
    gateway_domain  = "gateway.example.com"
    gateway_package = "main.tf"
    settings        = { SOCKERLESS_TASK_TIMEOUT = "6h" }
  }
  assert {
    condition     = strcontains(output.gateway_env, "SOCKERLESS_TASK_TIMEOUT=6h\n") && strcontains(output.gateway_env, "SOCKERLESS_CALLBACK_URL=https://gateway.example.com\n")
    error_message = "the machine's settings are the module's and one's own"
  }
}
