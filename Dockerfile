# A service of the releases that are mounted at /releases:
#   docker build -t mmq .
#   docker run -p 8000:8000 -e MMQ_API_KEYS=... -v "$PWD/releases:/releases:ro" -v mmq:/state mmq
FROM python:3.11-slim

RUN useradd --create-home mmq && mkdir /state && chown mmq /state
WORKDIR /mmq
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# torch from the index of processors: the usual one brings gigabytes for graphics cards
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -c constraints.txt '.[postgres]'

USER mmq
EXPOSE 8000
VOLUME ["/releases", "/state"]
HEALTHCHECK --start-period=60s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/ready')"]
# --host 0.0.0.0 needs a key: MMQ_API_KEYS, or --keys FILE
ENTRYPOINT ["mmq", "serve", "/releases", "--state", "/state", "--host", "0.0.0.0"]
