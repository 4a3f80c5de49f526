# ruff: noqa: E501
"""The specification of choosing a tag, as a table of how real images are tagged.

One row reads ``current | offered tags | answer``. The answer is the size of the step and the tag chosen, or
``none`` and, for each offered tag in turn, the code of the reason why it was refused.
"""

from __future__ import annotations

import itertools

import pytest

from safeupdater.analysis import SemVerAnalyzer

TABLE = """
# plain SemVer, with and without a leading v
1.2.3 | 1.2.4 | patch 1.2.4
1.2.3 | 1.2.4 1.3.0 2.0.0 | major 2.0.0
1.2.9 | 1.2.10 | patch 1.2.10
1.9.0 | 1.10.0 1.2.0 | minor 1.10.0
9.0.0 | 10.0.0 | major 10.0.0
1.2.3 | 1.2.3 | none same
1.2.3 | 1.2.2 1.1.9 0.9.9 | none older older older
1.2.3 |  | none
v1.2.3 | v1.2.4 | patch v1.2.4
v1.2.3 | 1.2.4 | none other_prefix
1.2.3 | v1.2.4 | none other_prefix
V1.2.3 | V1.3.0 v1.4.0 | minor V1.3.0
1.2.3 | 1.2.03 | none same
1.2.3 | 01.02.04 1.2.3 | patch 01.02.04
0.3.1 | 0.3.2 0.4.0 | minor 0.4.0
0.0.9 | 0.0.10 | patch 0.0.10
1.2.3 | 1.3 2 | none other_precision other_precision
1.2 | 1.2.3 1.3.0 | none other_precision other_precision
1.2 | 1.3 | minor 1.3
1 | 2 | major 2
1 | 1.5 2.0 | none other_precision other_precision
v1.2.3-beta.1+build.456 | v1.2.3-beta.2 | prerelease v1.2.3-beta.2
v1.2.3-beta.1+build.456 | v1.2.3 | patch v1.2.3
v1.2.3-beta.1+build.456 | v1.2.3-beta.1+build.457 v1.2.3-alpha.9 1.2.4 | none same older other_prefix

# nginx, httpd, haproxy: distribution variants
1.12-alpine | 1.15-alpine-perl | none other_variant
1.12-alpine | 1.15-alpine-perl 1.14-alpine 1.15 | minor 1.14-alpine
1.25.3-alpine | 1.25.4-alpine 1.27.0-alpine-slim 1.27.0 | patch 1.25.4-alpine
1.25.3-alpine3.18 | 1.25.4-alpine3.18 1.27.0-alpine3.19 | patch 1.25.4-alpine3.18
1.25.3-alpine3.18 | 1.25.3-alpine3.19 1.27.0-alpine | none other_variant other_variant
1.25.3-bookworm | 1.25.4-bookworm-perl 1.25.4-bookworm-otel 1.26.1-bookworm | minor 1.26.1-bookworm
1.25.3 | mainline stable 1.25.3-perl alpine3.20 | none floating floating other_variant floating
stable-alpine | 1.26.0-alpine stable-alpine mainline-alpine | none floating same floating
2.4.59-alpine3.19 | 2.4.59-alpine3.20 2.4.60-alpine3.19 | patch 2.4.60-alpine3.19
2.9.7-alpine | 3.0.1-alpine 3.1-dev5-alpine | major 3.0.1-alpine
3.0-dev5 | 3.0-dev6 3.1-dev1 | prerelease 3.0-dev6
3.0-dev5 | 3.0 | major 3.0

# redis, memcached, traefik, grafana, prometheus
7.2.4 | 7.2.5 7.4-rc2 7.2 | patch 7.2.5
7.2.4-alpine | 7.2.5-alpine3.20 7.2.5-alpine | patch 7.2.5-alpine
7.4-rc1 | 7.4-rc2 | prerelease 7.4-rc2
7.4-rc1 | 7.4 | minor 7.4
7.4-rc1 | 8.0-rc1 | none prerelease
7.2-rc2-alpine3.19 | 7.2-rc3-alpine3.19 7.2-rc3-alpine3.20 | prerelease 7.2-rc3-alpine3.19
v3.0 | v3.1 v3.0.4 | minor v3.1
v3.0.0-beta3 | v3.0.0-beta5 v3.0.0-rc1 v3.0.0 | major v3.0.0
v2.11.2 | v3.0.0-rc5 v2.11.3 | patch v2.11.3
v2.11.2 | v3.0.0-rc5 v3.0.0-beta1 | none prerelease prerelease
v3.0.1 | mimolette saintnectaire v3.0.2-windowsservercore-1809 | none floating floating other_variant
11.0.0 | 11.0.0-ubuntu 11.1.0-ubuntu main | none other_variant other_variant floating
11.0.0-ubuntu | 11.1.0-ubuntu 11.1.0 | minor 11.1.0-ubuntu
11.0.0-70000 | 11.0.0-71432 | patch 11.0.0-71432
v2.52.0 | v2.53.0-rc.0 v2.52.1 main | patch v2.52.1

# postgres, mariadb, mysql, mongo
16.3-bookworm | 16.4-bookworm 17.0-bookworm 16.4-bullseye | major 17.0-bookworm
16.3-bookworm | 17beta1-bookworm 17.0-alpine3.20 16-bookworm | none other_precision other_variant other_precision
16-alpine | 17-alpine 17beta2-alpine | major 17-alpine
17beta1-bookworm | 17beta2-bookworm 17rc1-bookworm | prerelease 17rc1-bookworm
17beta1 | 17 | major 17
16.3.0-debian-12-r4 | 16.3.0-debian-12-r14 | patch 16.3.0-debian-12-r14
16.3.0-debian-12-r4 | 16.4.0-debian-12-r0 16.3.0-debian-11-r90 | minor 16.4.0-debian-12-r0
16.3.0-debian-12-r14 | 16.3.0-debian-12-r4 16.3.0 16.4.0 | none older other_variant other_variant
10.11.8-jammy | 10.11.9-jammy 11.4.2-noble | patch 10.11.9-jammy
10.11.8 | 12.0.1-rc 11.4.2 | major 11.4.2
11.4.2-ubi9 | 12.0.1-ubi9-rc | none prerelease
12.0.1-ubi9-rc | 12.0.2-ubi9 | patch 12.0.2-ubi9
8.0.37 | 8.0.38 8.4.0 9.0.0-oraclelinux9 | minor 8.4.0
8.0.37-oraclelinux8 | 8.0.38-oraclelinux9 8.0.38-oracle | none other_variant other_variant
7.0.11-jammy | 7.0.12-jammy 8.0.0-rc9-jammy | patch 7.0.12-jammy
8.0.0-rc9-jammy | 8.0.0-rc10-jammy | prerelease 8.0.0-rc10-jammy
0.7.0-pg16 | 0.7.4-pg16 0.8.0-pg17 pg16 | patch 0.7.4-pg16
pg16 | pg17 0.8.0-pg16 | none floating floating
14.11-3.4 | 14.12-3.4 16.3-3.5 | minor 14.12-3.4
2.15.2-pg16 | 2.15.3-pg16 2.15.3-pg16-oss | patch 2.15.3-pg16

# language runtimes
3.12-slim-bookworm | 3.13-slim-bookworm 3.13-bookworm 3.13-slim | minor 3.13-slim-bookworm
3.12.3-slim | 3.12.4-slim 3.13.0b3-slim 3.13.0a6-slim | patch 3.12.4-slim
3.12.3-slim | 3.13.0b3-slim 3.13.0rc1-slim | none prerelease prerelease
3.13.0b3-slim-bookworm | 3.13.0b4-slim-bookworm 3.13.0rc1-slim-bookworm | prerelease 3.13.0rc1-slim-bookworm
3.13.0rc1 | 3.13.0 | minor 3.13.0
3.13-rc-slim | 3.13-slim | minor 3.13-slim
8.3-fpm-alpine3.19 | 8.3-fpm-alpine3.20 | none other_variant
8.3-fpm-alpine3.20 | 8.4-fpm-alpine3.20 8.4-cli-alpine3.20 8.4-fpm-alpine | minor 8.4-fpm-alpine3.20
8.3.7-apache-bookworm | 8.3.8-apache-bookworm 8.4.0alpha1-apache-bookworm | patch 8.3.8-apache-bookworm
8.4.0RC1-fpm | 8.4.0RC2-fpm 8.4.0-fpm | minor 8.4.0-fpm
21-jdk-jammy | 22-jdk-jammy 21-jre-jammy 22-jdk-noble | major 22-jdk-jammy
21.0.3_9-jdk-jammy | 21.0.4_7-jdk-jammy | patch 21.0.4_7-jdk-jammy
21.0.3_9-jdk-jammy | 21.0.3_10-jdk-jammy | patch 21.0.3_10-jdk-jammy
21.0.3_9-jdk-jammy | 21.0.4_7-jre-jammy 22_36-jdk-jammy | none other_variant other_precision
22_36-jdk | 22_37-jdk | patch 22_37-jdk
23-ea-17-jdk-slim | 23-ea-18-jdk-slim 24-ea-1-jdk-slim | prerelease 23-ea-18-jdk-slim
22-jdk-slim | 23-ea-18-jdk-slim | none prerelease
20.14.0-bookworm-slim | 20.15.0-bookworm-slim 22.3.0-bookworm 20.15.0-bullseye-slim | minor 20.15.0-bookworm-slim
20-alpine3.19 | 22-alpine3.19 22-alpine3.20 | major 22-alpine3.19
lts-alpine | 22-alpine lts-alpine3.20 current-alpine | none floating floating floating
1.22.4-alpine3.20 | 1.22.5-alpine3.20 1.23rc1-alpine3.20 | patch 1.22.5-alpine3.20
1.23rc1 | 1.23rc2 1.23 | minor 1.23
3.3.3-slim-bookworm | 3.4.0-preview1-slim-bookworm 3.3.4-slim-bookworm | patch 3.3.4-slim-bookworm
8.0.6-jammy-chiseled | 8.0.7-jammy-chiseled 8.0.7-jammy-chiseled-extra 8.0.7-jammy | patch 8.0.7-jammy-chiseled
8.0.100-rc.2.23502.2-alpine3.18 | 8.0.100-alpine3.18 8.0.101-alpine3.18 | patch 8.0.101-alpine3.18
9.0.0-preview.5-alpine3.20 | 9.0.0-preview.6-alpine3.20 | prerelease 9.0.0-preview.6-alpine3.20
python3.12-bookworm | python3.13-bookworm 0.2.0-python3.12-bookworm | none floating floating
12.4.1-cudnn-runtime-ubuntu22.04 | 12.5.0-cudnn-runtime-ubuntu22.04 12.5.0-cudnn-devel-ubuntu22.04 | minor 12.5.0-cudnn-runtime-ubuntu22.04
12.4.1-runtime-ubuntu20.04 | 12.5.0-runtime-ubuntu22.04 | none other_variant
3.9.7-eclipse-temurin-17 | 3.9.8-eclipse-temurin-17 3.9.8-eclipse-temurin-21 | patch 3.9.8-eclipse-temurin-17
10.1.24-jdk17-temurin-jammy | 10.1.25-jdk21-temurin-jammy 10.1.25-jdk17-temurin-jammy | patch 10.1.25-jdk17-temurin-jammy
10.1.24-jdk17 | 11.0.0-M20-jdk17 | none prerelease
11.0.0-M20-jdk17 | 11.0.0-M22-jdk17 | prerelease 11.0.0-M22-jdk17
26.1.3.Final-jdk17 | 27.0.1.Final-jdk17 28.0.0.Beta1-jdk17 | major 27.0.1.Final-jdk17

# distributions and calendar versions
22.04 | 24.04 | major 24.04
22.04 | 22.10 noble jammy-20240530 | minor 22.10
22.04 | 24.04 rolling devel | major 24.04
jammy-20240530 | jammy-20240627.1 jammy-20240627 noble-20240627 | major jammy-20240627
bookworm-20240612-slim | bookworm-20240701-slim bookworm-20240701 trixie-20240701-slim | major bookworm-20240701-slim
bookworm-20231218 | bookworm-20240110 | major bookworm-20240110
12.5-slim | 12.6-slim 12-slim | minor 12.6-slim
3.19 | 3.20 3.20.1 edge 20240606 | minor 3.20
20240329 | 20240606 | major 20240606
20240606 | 3.20 20240329 | none other_precision older
40 | 41 rawhide | major 41
9.4-947 | 9.4-1123 9.4 | patch 9.4-1123
9.4-1134 | 9.4-1227.1726694542 | none other_variant
2024.01.1 | 2024.02.0 | minor 2024.02.0
2024.01.1 | 2024.01.2 2023.12.9 | patch 2024.01.2
2024.12.0 | 2025.1.0 | major 2025.1.0
2024.6.2 | 2024.6.3 2024.7.0b1 2024.7.0.dev202406100229 | patch 2024.6.3
2024.6.2 | 2024.7.0b1 2024.7.0.dev202406100229 | none prerelease prerelease
2024.6.0b4 | 2024.6.0b10 2024.6.0b9 | prerelease 2024.6.0b10
2024.6.0b4 | 2024.6.0 | minor 2024.6.0
2024-06-12 | 2024-06-13 | patch 2024-06-13
2024-06-12 | 2024.06.13 20240613 | none other_precision other_precision
2024-12-30 | 2025-01-02 | major 2025-01-02
2023-5-1 | 2024-06-12 | none other_precision
2023-5-1 | 2024-06-12 2024-5-2 | major 2024-5-2
10.11 | 2021.12 | none scheme_change
10.11 | 2021.12 10.12 | minor 10.12
1.4.2 | 2024.1.0 | none scheme_change
2024.1.0 | 3.0.0 | none older
v0.9.5 | v20240612 | none other_precision
120 | 20240612 | none scheme_change
20231231 | 20240101 | major 20240101
20231231 | 99999999 | none scheme_change
202406121530 | 202412312359 | major 202412312359
1718200000 | 1728200000 | major 1728200000
1718200000 | 20240612 | none older

# date stamps: minio
RELEASE.2024-05-10T01-41-38Z | RELEASE.2024-06-13T22-53-53Z | minor RELEASE.2024-06-13T22-53-53Z
RELEASE.2024-05-10T01-41-38Z | RELEASE.2024-05-10T02-00-00Z | patch RELEASE.2024-05-10T02-00-00Z
RELEASE.2023-12-23T07-19-11Z | RELEASE.2024-01-01T16-36-33Z | major RELEASE.2024-01-01T16-36-33Z
RELEASE.2024-05-10T01-41-38Z | RELEASE.2024-06-13T22-53-53Z.fips RELEASE.2024-06-13T22-53-53Z-cpuv1 | none other_variant other_variant
RELEASE.2024-05-10T01-41-38Z | RELEASE.2024-05-01T01-11-10Z edge latest | none older floating floating
RELEASE.2024-05-10T01-41-38Z.fips | RELEASE.2024-06-13T22-53-53Z.fips | minor RELEASE.2024-06-13T22-53-53Z.fips

# packaging revisions
1.2.3-1 | 1.2.3-2 | patch 1.2.3-2
1.2.3-9 | 1.2.3-10 | patch 1.2.3-10
1.2.3-1 | 1.2.3 1.2.4 | none other_variant other_variant
1.2.3 | 1.2.3-1 1.2.4-1 | none other_variant other_variant
1.2.3-r4 | 1.2.3-r10 | patch 1.2.3-r10
1.2.3-r4 | 1.3.0-r0 1.2.3-4 | minor 1.3.0-r0
7 | 7-1 | none other_variant
7-1 | 7-2 | patch 7-2
17.0.1-ce.0 | 17.0.2-ce.0 17.1.0-ee.0 | patch 17.0.2-ce.0
17.0.1-ce.0 | 17.0.1-ce.1 nightly rc | patch 17.0.1-ce.1
17.0.1-ce.0 | 17.1.0-rc42.ce.0 17.1.0-rc42-ce.0 | none other_variant prerelease
17.0.1-ee.0 | 17.0.2-ce.0 | none other_variant
v1.30.1-k3s1 | v1.30.2-k3s1 v1.30.2-rc1-k3s1 | patch v1.30.2-k3s1
v1.30.1-k3s1 | v1.30.1-k3s2 | patch v1.30.1-k3s2
v1.28.4-rke2r1 | v1.28.4-rke2r2 v1.28.5-rke2r1 | patch v1.28.5-rke2r1
4.0.4.1491-ls214 | 4.0.5.1710-ls220 | patch 4.0.5.1710-ls220
4.0.4.1491-ls214 | 4.0.4.1491-ls215 | patch 4.0.4.1491-ls215
4.0.4.1491-ls99 | 4.0.4.1491-ls100 | patch 4.0.4.1491-ls100
4.0.4-r0-ls45 | 4.0.4-r0-ls46 4.0.4-r1-ls47 | patch 4.0.4-r1-ls47
version-4.0.4.1491 | version-4.0.5.1710 4.0.5.1710 | patch version-4.0.5.1710
amd64-4.0.4.1491-ls214 | amd64-4.0.5.1710-ls220 arm64v8-4.0.5.1710-ls220 | patch amd64-4.0.5.1710-ls220
amd64-version-4.0.4.1491 | amd64-version-4.0.5.1710 | patch amd64-version-4.0.5.1710
develop-4.0.4.1491-ls12 | develop-4.0.5.1-ls13 4.0.5.1-ls13 | patch develop-4.0.5.1-ls13
1.40.2.8395-c67dce28e-ls214 | 1.40.3.8555-fef15d30c-ls216 | patch 1.40.3.8555-fef15d30c-ls216
1.40.2.8395-c67dce28e | 1.40.3.8555-fef15d30c plexpass | patch 1.40.3.8555-fef15d30c
1.40.2.8395-c67dce28e | 1.40.2.8395-fef15d30c | none commit
2.0.0_beta-ls1 | 2.0.0-ls2 | major 2.0.0-ls2
5.1.2_1 | 5.1.2_2 5.1.2-3 | patch 5.1.2_2

# four-part numbers
4.0.4.1491 | 4.0.5.1710 4.0.4.1500 | patch 4.0.5.1710
24.3.5.46 | 24.5.3.5 24.3 | minor 24.5.3.5
24.3.5.46-alpine | 24.3.5.47-alpine 24.5.3.5 | patch 24.3.5.47-alpine
1.2.3.4 | 1.2.3 1.2.4 | none other_precision other_precision
10.9.1.5 | 11.0.0.1 | major 11.0.0.1

# applications
2.452.2-lts-jdk17 | 2.452.3-lts-jdk17 2.462-jdk17 2.462.1-lts-jdk21 | patch 2.452.3-lts-jdk17
2.452.2-lts | 2.462.1-lts 2.463 | minor 2.462.1-lts
2.462-jdk17 | 2.463-jdk17 2.462.1-lts-jdk17 | minor 2.463-jdk17
lts-jdk17 | 2.462.1-lts-jdk17 lts-jdk21 | none floating floating
8.14.0 | 8.14.1 9.0.0-SNAPSHOT 8.15.0-SNAPSHOT | patch 8.14.1
8.14.0 | 9.0.0-beta1 8.14.0-arm64 | none prerelease other_variant
8.15.0-SNAPSHOT | 8.15.0 | minor 8.15.0
29.0.1-apache | 29.0.2-apache 29.0.2-fpm 29.0.2-fpm-alpine | patch 29.0.2-apache
29-fpm-alpine | 30-fpm-alpine 30-fpm 30-apache | major 30-fpm-alpine
29.0.2 | 29.0.2-apache 29.0.3-fpm production | none other_variant other_variant floating
3.13.3-management | 3.13.4-management 3.13.4 3.13.4-management-alpine | patch 3.13.4-management
3.13.3-management | 4.0.0-rc.1-management 4.0-rc-management | none prerelease other_precision
4.0.0-beta.5-management | 4.0.0-rc.1-management 4.0.1-management | major 4.0.1-management
6.5.3-php8.2-fpm | 6.5.4-php8.2-fpm 6.5.4-php8.3-fpm | patch 6.5.4-php8.2-fpm
php8.3-fpm | php8.4-fpm 6.5.4-php8.3-fpm | none floating floating
10.5.1-community | 10.6.0-community 10.6.0-developer | minor 10.6.0-community
5.20.0-community-ubi9 | 5.21.0-community-ubi9 5.21.0-enterprise-ubi9 | minor 5.21.0-community-ubi9
26.1.3-dind | 27.0.1-dind 27.0.1-dind-rootless 27.0.1-rc.1-dind | major 27.0.1-dind
5.83.0-ubuntu | 5.84.0-alpine 5.84.0-ubuntu | minor 5.84.0-ubuntu
1.18-20.04_beta | 1.24-22.04_edge 1.24-20.04_beta | none other_variant prerelease
17.0-20240612 | 17.0-20240701 | patch 17.0-20240701
release-1.2.3 | release-1.2.4 release-1.3.0-rc1 | patch release-1.2.4
release-0.9 | release-0.10 0.11 | minor release-0.10
jdk-21.0.3_9 | jdk-21.0.4_7 jdk-21.0.4_7-alpine | patch jdk-21.0.4_7
1.1.1w | 1.1.1x 1.1.2w | patch 1.1.2w
99800a | 100100a | none commit
v1.10.1-eks-1-30-7 | v1.10.2-eks-1-30-7 v1.10.2-eks-1-30-8 | patch v1.10.2-eks-1-30-7
nightly-20240612 | nightly-20240613 20240613 | major nightly-20240613

# digits in the prefix
amd64-2.1.0 | amd64-2.1.1 arm64-2.1.1 | patch amd64-2.1.1
arm64v8-1.2.3 | arm64v8-1.2.4 arm32v7-1.2.5 | patch arm64v8-1.2.4
x86_64-1.2.3 | x86_64-1.2.4 | patch x86_64-1.2.4
python3-1.4.0 | python3-1.5.0 | minor python3-1.5.0
2.1.0 | amd64-64.0.0 amd64 | none other_prefix floating

# commit hashes
abc1234 | 1.2.3 def5678 | none commit commit
1.2.3 | abc1234 deadbeefdeadbeefdeadbeefdeadbeefdeadbeef sha-0a1b2c3 sha-1234567 | none commit commit commit commit
1.2.3 | 1e10abc main-abc1234 gabc1234 | none commit commit commit
v20240612-abcdef12 | v20240613-01234fab v20240613 | major v20240613-01234fab
v20240612-abcdef12 | v1.2.3 | none other_precision
main-abc1234-1718200000 | main-0def567-1718300000 dev-0def567-1718400000 | major main-0def567-1718300000
v1.2.3-14-gabcdef1 | v1.2.3-15-g1234abc v1.2.4 | patch v1.2.3-15-g1234abc

# floating tags
latest | 1.2.3 v2 stable edge latest | none floating floating floating floating same
1.2.3 | latest stable edge main master bookworm lts alpine | none floating floating floating floating floating floating floating floating
1.2.3-alpine | latest-alpine stable-alpine3.20 | none floating floating

# signatures and mis-pushed tags
1.2.3 | sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.sig | none signature
1.2.3 | sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.att | none signature
1.2.3 | sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.sbom | none signature
1.2.3 | sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 1.2.4.sig | none signature signature
sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855.sig | 1.2.3 | none signature
1.2.3 | 1.2.4- 1..2 .1.2.4 1.2.3.4.5.6.7.8.9 | none not_a_version not_a_version not_a_version not_a_version
1.2.3 | 99999999999999999999.0.0 1.2.99999999999999999999 | none not_a_version not_a_version
1.2.3 | １.２.４ 1.2.⁴ 1.2.4\u202e \ud800 1.2.4\x00 | none not_a_version not_a_version not_a_version not_a_version not_a_version
1.2.3 | 1.2.3-final 1.2.4-hotfix 1.2.4_test 1.24 | none other_variant other_variant other_variant other_precision
1.2.3 | 1.2.4-SNAPSHOT 1.2.4-dev 1.2.4-canary.3 1.2.4-nightly.20240612 | none prerelease prerelease prerelease prerelease
1.2.3 | 701.0.0 502.0.0 | none scheme_change scheme_change
1.2.3 | 501.0.0 | major 501.0.0
1.2.3 | 12.3 123 1.23 | none other_precision other_precision other_precision
99999999999999999999.0.0 | 1.2.3 | none not_a_version
"""


def _rows() -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    lines = (line for line in TABLE.splitlines() if line and not line.startswith("#"))
    cells = (line.encode("ascii", "backslashreplace").decode("unicode_escape").split("|") for line in lines)
    return [
        (current.strip(), tuple(offered.split()), tuple(answer.split())) for current, offered, answer in cells
    ]


ROWS = _rows()


@pytest.mark.parametrize(
    ("current", "offered", "answer"), ROWS, ids=[ascii(f"{row[0]} -> {' '.join(row[1])}") for row in ROWS]
)
def test_the_table_of_real_tags_holds(
    current: str, offered: tuple[str, ...], answer: tuple[str, ...]
) -> None:
    found = SemVerAnalyzer().find_update(current, offered)

    codes = {skipped.tag: skipped.code for skipped in found.skipped}
    if answer[0] == "none":
        assert found.tag is None
        assert codes == dict(zip(offered, answer[1:], strict=True))
    else:
        assert (str(found.change_type), found.tag) == answer
        assert set(codes) == set(offered) - {found.tag}


def test_the_table_is_large_enough_and_says_nothing_twice() -> None:
    assert len(ROWS) >= 180
    assert len({row[:2] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("current", "offered"), [row[:2] for row in ROWS if len(row[1]) > 1])
def test_the_order_of_the_tags_changes_nothing(current: str, offered: tuple[str, ...]) -> None:
    analyzer = SemVerAnalyzer()
    expected = analyzer.find_update(current, offered)

    for shuffled in itertools.islice(itertools.permutations(offered), 24):
        found = analyzer.find_update(current, shuffled)
        assert (found, found.skipped) == (expected, expected.skipped)


@pytest.mark.parametrize(("current", "offered"), [row[:2] for row in ROWS])
def test_find_updates_agrees_with_find_update(current: str, offered: tuple[str, ...]) -> None:
    analyzer = SemVerAnalyzer()
    best = analyzer.find_update(current, offered)

    every = analyzer.find_updates(current, offered)

    listed = {tag: change_type for change_type, tags in every.by_type.items() for tag in tags}
    would_do = {skipped.tag for skipped in best.skipped if skipped.code == "not_newest"}
    assert set(listed) == would_do | ({best.tag} if best.tag else set())
    assert best.tag is None or listed[best.tag] is best.change_type
    assert {skipped.tag for skipped in every.skipped} == set(offered) - set(listed)
