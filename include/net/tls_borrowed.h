/* tls_borrowed - a TLS connection that another library has made, and reads and writes: with fewer calls to the
 * kernel. Reading takes several records at once; OpenSSL then holds some that epoll says nothing of. Writing
 * gathers records, as conn.c does. Loop thread only. */
#ifndef NET_TLS_BORROWED_H
#define NET_TLS_BORROWED_H

#include <stdbool.h>

#include "base/buf.h"

struct tls_borrowed {
	void *ssl;           /* NULL: none */
	int fd;
	void (*on_record)(struct tls_borrowed *b);
	struct buf owed;     /* gathered, and not taken by the kernel yet */
};

/* An SSL_CTX for a server whose clients are our agents: our ciphers, and nothing kept for resumption, which agents
 * do not ask for. */
void tls_tune_for_agents(void *ssl_ctx);

/* From the end of its handshake on. on_record runs, inside reading, whenever a record has come: look afterwards
 * whether more are held. */
void tls_borrow(struct tls_borrowed *b, void *ssl, int fd, void (*on_record)(struct tls_borrowed *b));
void tls_return(struct tls_borrowed *b);  /* before the other library ends it */
bool tls_holds_records(const struct tls_borrowed *b);
/* What is written between the two goes to the kernel in as few pieces as it fits. False: some of it waits for the
 * socket: call once more when it is writable, and write nothing before. */
void tls_gather(struct tls_borrowed *b);
bool tls_send_gathered(struct tls_borrowed *b);

#endif
