/* The load of bench/edge.py: a client and a server over loopback that do nothing but HTTP/1.1, so that what a probe adds can be seen.
 *   edge_load pingpong COUNT          ns of CPU per request and response, both ends on CPU 0, once a probe has learnt what they speak
 *   edge_load syscalls COUNT          ns of CPU per getppid, on CPU 0
 *   edge_load paced RATE SECONDS      requests made, over eight connections kept alive */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char REQUEST[] = "GET /orders/12345 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n";
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n"
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

static double read_clock(clockid_t clock)
{
	struct timespec at;
	clock_gettime(clock, &at);
	return at.tv_sec + at.tv_nsec / 1e9;
}

static double now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/* CPU and not wall time: what others do on the machine counts less. */
static double cpu(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* The two take turns in the same way each time, whatever else runs: left to itself, the scheduler lets one of them interrupt the other in two turns of five. */
static void in_turns(void)
{
	struct sched_param param = { .sched_priority = 1 };
	sched_setscheduler(0, SCHED_FIFO, &param);
}

static void on_cpu(int cpu)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static int listening(int *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof address;
	int sock = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(sock, (void *)&address, size) || listen(sock, 64) || getsockname(sock, (void *)&address, &size))
		exit(1);
	*port = ntohs(address.sin_port);
	return sock;
}

static void serve(int listener)
{
	struct epoll_event events[64], own = { .events = EPOLLIN, .data.fd = listener };
	int poll = epoll_create1(0), on = 1;
	char buffer[4096];
	epoll_ctl(poll, EPOLL_CTL_ADD, listener, &own);
	for (;;) {
		int count = epoll_wait(poll, events, 64, -1);
		for (int i = 0; i < count; i++) {
			int sock = events[i].data.fd;
			if (sock == listener) {
				struct epoll_event more = { .events = EPOLLIN, .data.fd = accept(listener, 0, 0) };
				setsockopt(more.data.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
				epoll_ctl(poll, EPOLL_CTL_ADD, more.data.fd, &more);
			} else if (recv(sock, buffer, sizeof buffer, 0) <= 0 || send(sock, ANSWER, sizeof ANSWER - 1, 0) < 0) {
				close(sock);
			}
		}
	}
}

static int connected(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port) };
	int sock = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	if (connect(sock, (void *)&address, sizeof address))
		exit(1);
	setsockopt(sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return sock;
}

#define LEARNS 15000 /* requests that take longer than it takes to be told what a connection speaks */

static void exchange(int sock)
{
	char buffer[4096];
	size_t got = 0;
	if (send(sock, REQUEST, sizeof REQUEST - 1, 0) < 0)
		exit(1);
	while (got < sizeof ANSWER - 1) {
		ssize_t more = recv(sock, buffer, sizeof buffer, 0);
		if (more <= 0)
			exit(1);
		got += more;
	}
}

int main(int count, char **words)
{
	if (count < 3)
		return 2;
	long number = atol(words[2]);
	if (!strcmp(words[1], "syscalls")) {
		on_cpu(0);
		double began = cpu();
		for (long i = 0; i < number; i++)
			syscall(SYS_getppid);
		printf("%.2f\n", (cpu() - began) / number * 1e9);
		return 0;
	}
	int port, listener = listening(&port), paced = !strcmp(words[1], "paced");
	if (!paced) {
		on_cpu(0);
		in_turns();
	}
	pid_t server = fork();
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(listener);
	}
	int socks[8];
	for (int i = 0; i < 8; i++)
		socks[i] = connected(port);
	long made = 0;
	double began = now();
	if (paced) {
		double until = began + atof(words[3]);
		for (; now() < until; made++) {
			double ahead = began + (double)made / number - now();
			if (ahead > 0)
				usleep(ahead * 1e6);
			exchange(socks[made % 8]);
		}
		printf("%ld %.3f\n", made, now() - began);
	} else {
		clockid_t theirs;
		clock_getcpuclockid(server, &theirs);
		for (int i = 0; i < LEARNS; i++)
			exchange(socks[0]);
		began = cpu() + read_clock(theirs);
		for (; made < number; made++)
			exchange(socks[0]);
		printf("%.2f\n", (cpu() + read_clock(theirs) - began) / number * 1e9);
	}
	kill(server, SIGKILL);
	waitpid(server, 0, 0);
	return 0;
}
