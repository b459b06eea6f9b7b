# ---- as in the predecessor's module: the same names, and defaults where nothing speaks against them ----

variable "project_id" {
  description = "The Google Cloud project that everything is made in."
  type        = string
}

variable "region" {
  description = "Where the jobs run, and where repositories and volumes are."
  type        = string
  default     = "us-central1"
}

variable "project_name" {
  description = "First part of every name."
  type        = string
  default     = "sockerless"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]*[a-z0-9]$", var.project_name))
    error_message = "Want lower-case letters, digits and dashes, beginning with a letter."
  }
}

variable "environment" {
  description = "Second part of every name, such as live."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", var.environment))
    error_message = "Want lower-case letters, digits and dashes."
  }
}

variable "labels" {
  description = "Added to the labels of everything that has labels."
  type        = map(string)
  default     = {}
}

variable "gcs_location" {
  description = "Where the volumes' bucket is; empty: in the region, beside the jobs."
  type        = string
  default     = ""
}

variable "gcs_lifecycle_days" {
  description = "Files in volumes are deleted at this age in days; 0: never. A volume that forgets is no volume, so this is not 30 as it was."
  type        = number
  default     = 0

  validation {
    condition     = var.gcs_lifecycle_days >= 0 && floor(var.gcs_lifecycle_days) == var.gcs_lifecycle_days
    error_message = "Want a whole number of days, or 0."
  }
}

variable "vpc_connector_machine_type" {
  description = "Machine type of the connector's instances; with vpc = connector."
  type        = string
  default     = "e2-micro"
}

variable "vpc_connector_min_instances" {
  description = "At least so many instances; with vpc = connector."
  type        = number
  default     = 2

  validation {
    condition     = var.vpc_connector_min_instances >= 2
    error_message = "A connector has at least 2 instances."
  }
}

variable "vpc_connector_max_instances" {
  description = "At most so many instances; with vpc = connector."
  type        = number
  default     = 3

  validation {
    condition     = var.vpc_connector_max_instances >= 2
    error_message = "A connector has at least 2 instances."
  }
}

variable "dns_suffix" {
  description = "Private DNS zone of the network, for what you run there; empty: none. With a vpc only."
  type        = string
  default     = "sockerless.internal"
}

# ---- what is new ----

variable "vpc" {
  description = "none: agents call back over the internet, nothing is needed. direct: Direct VPC egress into a network made here. connector: the same by a Serverless VPC Access connector."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "direct", "connector"], var.vpc)
    error_message = "Want none, direct or connector."
  }
}

variable "vpc_egress" {
  description = "What of a container's traffic goes through the network: private-ranges-only, or all-traffic, for which a NAT is made."
  type        = string
  default     = "private-ranges-only"

  validation {
    condition     = contains(["private-ranges-only", "all-traffic"], var.vpc_egress)
    error_message = "Want private-ranges-only or all-traffic."
  }
}

variable "connector_ip_range" {
  description = "Addresses of the connector's instances: a /28."
  type        = string
  default     = "10.8.0.0/28"
}

variable "jobs_ip_range" {
  description = "Addresses of the containers with vpc = direct: a /26 or larger; each takes about two."
  type        = string
  default     = "10.8.16.0/20"
}

variable "manage_services" {
  description = "Switch on the Google APIs that are needed; false where somebody else does."
  type        = bool
  default     = true
}

variable "custom_roles" {
  description = "Give the gateway exactly the permissions it uses, by custom roles. false: predefined roles, wider, for who must not make roles."
  type        = bool
  default     = true
}

variable "hub_mirror" {
  description = "Make a remote repository of Docker Hub, which caches what is pulled and spares Docker Hub's rate limit."
  type        = bool
  default     = true
}

variable "image_keep_days" {
  description = "Untagged images, and overlays (they are made again), are deleted at this age in days; 0: never."
  type        = number
  default     = 7
}

variable "soft_delete_days" {
  description = "Deleted files of volumes can be had back for so many days, which is billed; 0: gone at once, or 7 to 90."
  type        = number
  default     = 7

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90)
    error_message = "Want 0, or 7 to 90 days."
  }
}

variable "force_destroy" {
  description = "terraform destroy also deletes volumes that hold files."
  type        = bool
  default     = false
}

variable "callback_url" {
  description = "Where the agents reach the gateway, such as https://gateway.example.com; empty: you set SOCKERLESS_CALLBACK_URL yourself."
  type        = string
  default     = ""

  validation {
    condition     = var.callback_url == "" || can(regex("^(https|wss)://", var.callback_url))
    error_message = "Want https:// or wss://: tokens and everything the containers print go this way."
  }
}

variable "agent_image_tag" {
  description = "Tag of the agent's image in the repository; push it before the first container."
  type        = string
  default     = "latest"
}
