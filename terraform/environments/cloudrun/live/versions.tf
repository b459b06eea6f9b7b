terraform {
  required_version = ">= 1.5"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 5.20, < 8.0"
    }
  }

  # terraform init -backend-config=bucket=BUCKET
  backend "gcs" {
    prefix = "environments/cloudrun/live"
  }
}
