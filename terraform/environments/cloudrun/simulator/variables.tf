variable "endpoint" {
  description = "Address of the simulator: every Google API the module uses, on one port."
  type        = string
  default     = "http://localhost:8085"

  validation {
    condition     = can(regex("^https?://[^/]+/?$", var.endpoint))
    error_message = "Want http://host:port."
  }
}

variable "project_id" {
  description = "The simulator takes any project."
  type        = string
  default     = "sockerless-simulator"
}

variable "region" {
  description = "Where the jobs run."
  type        = string
  default     = "us-central1"
}

variable "vpc" {
  description = "none, direct or connector; the emulator has no networks."
  type        = string
  default     = "none"
}
