variable "project_id" {
  description = "The Google Cloud project."
  type        = string
}

variable "name" {
  description = "Name of the machine, and first part of every other name, such as sockerless-live-gw."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,40}[a-z0-9]$", var.name))
    error_message = "Want lower-case letters, digits and dashes, beginning with a letter, at most 42 characters."
  }
}

variable "zone" {
  description = "Where the machine is; best in the region of the jobs."
  type        = string
  default     = "us-central1-a"
}

variable "domain" {
  description = "DNS name under which agents reach the machine from the internet; its A record is the output address."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]*[.][a-z]+$", var.domain))
    error_message = "Want a DNS name such as gateway.example.com, in lower case."
  }
}

variable "service_account_email" {
  description = "What the gateway runs as: output gateway_service_account_email of the module cloudrun."
  type        = string
}

variable "settings" {
  description = "The gateway's settings: output gateway_settings of the module cloudrun, and what you add to it."
  type        = map(string)

  validation {
    condition     = alltrue([for value in values(var.settings) : !can(regex("[\n\r]", value))])
    error_message = "A setting is one line."
  }

  validation {
    condition     = alltrue([for name in keys(var.settings) : can(regex("^[A-Z][A-Z0-9_]*$", name))])
    error_message = "Names of settings are those of sockerless-gateway --help."
  }
}

variable "package" {
  description = "The gateway as a Debian package on this machine: what make package built."
  type        = string
}

variable "acme_email" {
  description = "Address that the certificate authority writes to; empty: none."
  type        = string
  default     = ""
}

variable "certificate_secret" {
  description = "Secret Manager secret with your own certificate: PEM, the chain and the key in one. Empty: one from Let's Encrypt, by ACME."
  type        = string
  default     = ""
}

variable "dns_managed_zone" {
  description = "Cloud DNS zone of this project in which the A record is made; empty: you make it."
  type        = string
  default     = ""
}

variable "users" {
  description = "IAM members who may reach the Docker socket by ssh, such as user:ann@example.com. They can do what the gateway can."
  type        = list(string)
  default     = []
}

variable "machine_type" {
  description = "Machine type; the gateway moves bytes, and needs little."
  type        = string
  default     = "e2-small"
}

variable "state_disk_gb" {
  description = "Size of the disk for records, container logs and cached image layers."
  type        = number
  default     = 20

  validation {
    condition     = var.state_disk_gb >= 10
    error_message = "Want at least 10 GB."
  }
}

variable "snapshot_days" {
  description = "The state disk is copied every night, and copies are kept so many days; 0: no copies."
  type        = number
  default     = 7
}

variable "ip_range" {
  description = "Addresses of the network that is made for the machine."
  type        = string
  default     = "10.9.0.0/29"
}

variable "labels" {
  description = "Labels of everything that has labels."
  type        = map(string)
  default     = {}
}
