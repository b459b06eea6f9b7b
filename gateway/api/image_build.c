/* image_build - what makes images from Dockerfiles and containers: not here, and where instead. */
#include "api/handlers.h"
#include "api/reply.h"

void image_build(struct request *r)
{
	reply_error(r, ERR_UNSUPPORTED, "this gateway does not build images: build with Cloud Build (gcloud builds submit "
		    "--tag IMAGE) or on a machine with Docker or buildx --push, then pull the image here. DOCKER_BUILDKIT has "
		    "no influence on this");
}

void image_commit(struct request *r)
{
	reply_error(r, ERR_UNSUPPORTED, "this gateway does not commit containers: their file systems are on Cloud Run. "
		    "Use docker export and docker import, or build the image from a Dockerfile elsewhere and push it");
}
