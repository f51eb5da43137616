/* Included before proof.c where it drives a peer: only the peer knows how much of its arena it uses. */
#include <stdint.h>

#ifdef __cplusplus
extern "C"
#endif
uint32_t peer_arena_bytes(void);

#define PROOF_ARENA_BYTES peer_arena_bytes()
