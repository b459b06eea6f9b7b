/* adopt_images - the images of adopted containers: found again in their registries by digest, one after the other,
 * under the names their containers were made from. */
#ifndef CLOUD_ADOPT_IMAGES_H
#define CLOUD_ADOPT_IMAGES_H

struct gateway;
struct image_adoption;

/* Ends by itself: *ret is set NULL then. What cannot be found is logged; nothing needs it but docker images, ps and cp. */
void adopt_images(struct gateway *g, struct image_adoption **ret);
void adopt_images_cancel(struct image_adoption *a); /* NULL is fine */

#endif
